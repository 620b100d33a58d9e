"""Experiments, a folder for each chapter: `python -m experiments` tells what each shows.

The docstring of a module says how it is called, what it prints and draws, and what to expect. The
same names mean the same in all of them:

    Config    the options; what --help says of each stands below it
    QUICK     the defaults under --quick
    main      main(config) computes everything, saves the pictures in config.directory, and returns
              what results.json is to hold
    show      show(found) prints these results as tables, also those of a run that is finished
    build     the model; `density`, where there is one, is the model in the units of the data
    fit       trains one model, in a folder of the run
    draw      saves the pictures

What they share: `options` and `defaults`, `sets` (the data), `fitting` (training, and what is
reported), `baselines` and `published` (what results are compared with). `results` writes the tables
of RESULTS.md from finished runs.
"""
