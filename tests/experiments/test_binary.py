"""MADE on bits, run small on files of the published form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import autoregressive as ar
from dgm_jax import likelihoods, runs
from experiments import fitting
from experiments.autoregressive import binary
from tests.experiments import published_sets

TINY = {"num_steps": 4, "eval_every": 2, "hidden": (6,)}


def run(data, data_dir, workdir, **options):
    config = binary.Config(
        data=data, data_dir=data_dir, workdir=workdir, progress=False, **TINY | options
    )
    return runs.keep(config, binary.main, show=binary.show)


def test_a_set_of_bits_is_told_beside_coins_and_without_figures_of_another(tmp_path, capsys):
    data_dir = published_sets.bits(tmp_path, "binary_density/mushrooms.npz", (112,))
    models = run("mushrooms", data_dir, tmp_path / "run", num_masks=2)["models"]
    assert list(models) == ["a coin for each bit", "each bit given the last", "MADE, 2 masks"]
    coin, pairs, _ = (r["test_nats"] for r in models.values())
    assert coin < -60  # about 112 log 2, and each bit given the last has the entropy of a flip
    assert pairs == pytest.approx(112 * (0.1 * np.log(0.1) + 0.9 * np.log(0.9)), abs=6)
    assert "Germain" not in capsys.readouterr().out  # these are not the rows of mushrooms


def test_training_starts_from_coins_and_keeps_what_a_constant_bit_needs():
    """A bit that is always 0 costs nothing, at the start and where the other weights decay."""
    x = np.random.default_rng(0).binomial(1, [0.0, 0.5, 0.9], (1000, 3))
    model = binary.from_coins(ar.made(3, likelihoods.bernoulli(), hidden=(5,), direct=True), x)
    params = jax.jit(model.init)(jax.random.key(1))
    probs = jax.nn.sigmoid(params["offset"][:, 0])
    np.testing.assert_allclose(probs, (x.sum(0) + 0.5) / 1001, rtol=1e-5)
    optimizer = fitting.AdamW(0.1, 10, 1.0, decayed=binary.decayed).optimizer()
    still = jax.tree.map(jnp.zeros_like, params)
    moved = jax.jit(lambda p: optimizer.update(still, optimizer.init(p), p)[0])(params)
    moves = {name: any(jnp.any(leaf) for leaf in jax.tree.leaves(m)) for name, m in moved.items()}
    assert moves["weights"] and not moves["offset"] and not moves["biases"]


@pytest.mark.slow
def test_a_run_starts_from_coins_and_its_offsets_do_not_decay(tmp_path):
    """A rate that learns nothing, and a decay by a fifth, of bits that are hardly ever on."""
    rare = np.random.default_rng(1).binomial(1, 0.02, (300, 123)).astype(np.uint8)
    data_dir = published_sets.bits(tmp_path, "binary_density/adult.npz", (123,), rare)
    options = {"learning_rate": 1e-6, "weight_decay": 1e5}
    models = run("adult", data_dir, tmp_path / "run", **options)["models"]
    coins, _, made = (r["test_nats"] for r in models.values())
    assert made == pytest.approx(coins, abs=0.5)


@pytest.mark.slow
def test_pictures_of_bits_are_drawn_and_completed(tmp_path):
    data_dir = published_sets.bits(tmp_path, "binarized_mnist/binarized_mnist.npz", (28, 28))
    run("binarized_mnist", data_dir, tmp_path / "run")
    assert (tmp_path / "run" / "samples.png").stat().st_size > 2000


def test_grey_levels_are_no_bits(tmp_path):
    with pytest.raises(ValueError, match="data='digits' has no bits; try digits_bits"):
        binary.main(binary.Config(data="digits", workdir=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("old", [False, True])
def test_the_defaults_learn_from_few_rows_of_many_bits(old, tmp_path, capsys):
    """Three topics of 300 rare words in 200 rows, which the options tuned on mushrooms overfit."""
    rng = np.random.default_rng(2)
    words = rng.beta(0.3, 2.7, (3, 300))
    x = rng.binomial(1, words[rng.integers(3, size=300)]).astype(np.uint8)
    data_dir = published_sets.bits(tmp_path, "own.npz", (300,), x)
    options = {"hidden": (500,), "learning_rate": 1e-2, "weight_decay": 0.03, "eval_every": 250}
    options |= {"patience": 2}
    config = binary.Config(
        data=str(data_dir / "own.npz"),
        workdir=tmp_path / "run",
        progress=False,
        **(options if old else {}),
    )
    found = runs.keep(config, binary.main, show=binary.show)
    coins, _, made = found["models"].values()
    said = capsys.readouterr().out
    if old:
        assert made["best_step"] == 0 and "no step was better" in said
    else:
        assert made["test_nats"] > coins["test_nats"] + 2 and made["best_step"] > 0
        assert "worse than" not in said and "--weight-decay" in said
        assert found["settings"].keys() >= {"hidden", "learning_rate", "weight_decay"}
