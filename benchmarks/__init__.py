"""Benchmarks: `python -m benchmarks` tells what each measures.

The docstring of a module says what is timed beside what, and which ratios to expect. The same names
mean the same in all of them:

    Config    the options; what --help says of each stands below it
    main      main(config) measures, and returns {"rows", "machine"}, which --out keeps
    tables    tables(found) are these rows as tables for the terminal and for --record
    draw      draw(config, found) is the picture of them
    ours      the work as this library does it
    zuko, torch, ...
              the same work by the library of this name, with the same sizes. `ImportError` if it is
              not installed, `NotImplementedError`, with the reason, if it cannot do it

Calls are timed in turn within one run, because times drift on a machine that others use. `times`
has what rows, tables and pictures share; `compare` finds what became slower from one record to
another.
"""
