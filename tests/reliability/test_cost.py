"""What safety costs: no second compilation, and little time."""

import functools
import time

import chex
import jax
import numpy as np
import optax
import pytest

from dgm_jax import combinators, data, distributions, flows
from dgm_jax.learning import gradient_descent, train
from dgm_jax.learning.checkpoints import Checkpoints
from dgm_jax.objectives import nll
from dgm_jax.protocol import Algorithm

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(300)]
X = np.random.default_rng(0).normal(size=(1003, 64)).astype(np.float32)


def algorithm(hidden):
    flow = flows.maf(64, num_layers=5, hidden=hidden)
    model = combinators.pushforward(flow, distributions.standard_normal(64))
    return gradient_descent(model.init, functools.partial(nll, model), optax.adam(1e-3),
                            ema_decay=0.99)  # fmt: skip


def test_two_hundred_steps_with_an_odd_rest_are_traced_once(tmp_path):
    made = algorithm((32,))
    once = Algorithm(made.init, chex.assert_max_traces(made.step, 1))
    train(once, jax.random.key(0), data.batches(X, 100, seed=0), num_steps=200, log_every=7,
          workdir=tmp_path, checkpoint_every=50, progress=False)  # fmt: skip


def test_saving_at_the_default_interval_takes_at_most_two_percent(tmp_path, monkeypatch, capsys):
    """70 seconds of MAF at the size of `experiments.flows.compare`: 12 MB a checkpoint."""
    spent, began = [], time.perf_counter()

    def timed(method):
        def call(self, *args, **options):
            start = time.perf_counter()
            try:
                return method(self, *args, **options)
            finally:
                spent.append(time.perf_counter() - start)

        return call

    class LongEnough(Exception):
        pass

    def stop(step, row):
        if time.perf_counter() - began > 70:
            raise LongEnough

    for name in ("save", "__exit__"):
        monkeypatch.setattr(Checkpoints, name, timed(getattr(Checkpoints, name)))
    with pytest.raises(LongEnough):
        train(algorithm((256, 256)), jax.random.key(0), data.batches(X, 128, seed=0),
              num_steps=10**6, log_every=50, on_log=stop, workdir=tmp_path,
              progress=False)  # fmt: skip
    seconds = time.perf_counter() - began
    saved = list((tmp_path / "checkpoints").iterdir())
    size = sum(file.stat().st_size for file in saved[0].rglob("*") if file.is_file())
    with capsys.disabled():
        print(f"\n{len(saved)} checkpoint of {size / 1e6:.0f} MB in {seconds:.0f} s: "
              f"{sum(spent) / seconds:.2%} of the time")  # fmt: skip
    assert len(saved) == 1 and sum(spent) / seconds < 0.02
