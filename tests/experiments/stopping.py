"""A run of several trainings that is stopped within one of them, and then goes on."""

import pytest

from experiments import fitting


def check_goes_on(monkeypatch, config, main, row: dict, name: str, *, training: int, step: int):
    """That main(config), stopped at a step of its training of that number, ends at `row`.

    The trainings before it are then read, and it goes on. Whatever is no time is the same bits.
    """
    make, begun = fitting.datasets.batches, []

    def batches(*args, **options):
        draw = make(*args, **options)
        begun.append(draw)
        number = len(begun)

        def stopping(t):
            if number == training + 1 and t == step:
                raise KeyboardInterrupt
            return draw(t)

        return stopping

    with monkeypatch.context() as patched:
        patched.setattr(fitting.datasets, "batches", batches)
        with pytest.raises(KeyboardInterrupt):
            main(config)
    assert len(begun) == training + 1
    after = main(config)["models"][name]
    same = lambda row: {what: value for what, value in row.items() if "seconds" not in what}
    assert same(after) == same(row)
