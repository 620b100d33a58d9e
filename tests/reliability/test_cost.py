"""What safety costs: no second compilation, and little time."""

import functools
import math
import time

import chex
import jax
import numpy as np
import optax
import pytest

from dgm_jax import combinators, data, distributions, flows
from dgm_jax.learning import gradient_descent, run, train
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.objectives import nll
from dgm_jax.protocol import Algorithm

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]
X = np.random.default_rng(0).normal(size=(1003, 64)).astype(np.float32)


def algorithm(hidden):
    flow = flows.maf(64, num_layers=5, hidden=hidden)
    model = combinators.pushforward(flow, distributions.standard_normal(64))
    return gradient_descent(
        model.init, functools.partial(nll, model), optax.adam(1e-3), ema_decay=0.99
    )


def test_two_hundred_steps_with_an_odd_rest_are_traced_once(tmp_path):
    made = algorithm((32,))
    once = Algorithm(made.init, chex.assert_max_traces(made.step, 1))
    train(
        once,
        jax.random.key(0),
        data.batches(X, 100, seed=0),
        num_steps=200,
        log_every=7,
        workdir=tmp_path,
        checkpoint_every=50,
        progress=False,
    )


def test_saving_costs_little_even_six_times_as_often_as_by_default(tmp_path, monkeypatch, capsys):
    """MAF at the size of `experiments.flows.compare`, saved every 10 seconds, not every 60."""
    spent, began = [], time.perf_counter()
    save = Checkpoints.save

    def timed(*args, **options):
        start = time.perf_counter()
        save(*args, **options)
        spent.append(time.perf_counter() - start)

    class LongEnough(Exception):
        pass

    def stop(step, row):
        if len(spent) == 4:
            raise LongEnough

    monkeypatch.setattr(Checkpoints, "save", timed)
    monkeypatch.setattr(run, "SAVE_SECONDS", 10.0)
    monkeypatch.setattr(run, "SAVE_SHARE", math.inf)
    with pytest.raises(LongEnough):
        train(
            algorithm((256, 256)),
            jax.random.key(0),
            data.batches(X, 128, seed=0),
            num_steps=10**6,
            log_every=20,
            on_log=stop,
            workdir=tmp_path,
            progress=False,
        )
    seconds = time.perf_counter() - began
    files = (tmp_path / "checkpoints").rglob("*")
    size = sum(file.stat().st_size for file in files if file.is_file()) / 3
    with capsys.disabled():
        each = ", ".join(f"{1000 * s:.0f}" for s in spent)
        print(
            f"\ncheckpoints of {size / 1e6:.0f} MB: {each} ms in {seconds:.0f} s; "
            f"by default {np.median(spent[1:]) / 60:.2%} of the time"
        )
    assert sum(spent[1:]) / seconds < 0.02  # the first one compiles
