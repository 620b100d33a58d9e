"""Names of classes become pictures: texts as integers, and a run as small as can be."""

import dataclasses

import jax
import numpy as np
import pytest

from dgm_jax import learning
from dgm_jax.data import Dataset
from experiments import sets
from experiments.quantized import dalle
from tests.experiments.stopping import check_goes_on


def test_names_are_letters_of_one_length():
    ids, num = dalle.texts(("one", "three"))
    letters = sorted(set("one three"))
    assert num == len(letters) and ids.shape == (2, 5)
    assert "".join(letters[i] for i in ids[0]) == "one  "
    assert "".join(letters[i] for i in ids[1]) == "three"


def test_classes_without_names_are_told_by_their_numbers():
    x = np.zeros((3, 4, 4), np.uint8)
    labels = {split: np.array([0, 5, 11]) for split in ("train", "valid", "test")}
    data = Dataset("own", x, x, x, labels, 2, "")
    names = dalle.names_of(dalle.Config(data="own"), data)
    assert len(names) == 12 and names[0] == "00" and names[11] == "11"
    with pytest.raises(ValueError, match="no classes to name"):
        dalle.names_of(dalle.Config(data="own"), data._replace(labels=None))


def test_the_share_of_pictures_near_their_name_counts_neighbours():
    train, labels = np.eye(3), np.array([0, 1, 2])
    x = np.array([[0.9, 0.1, 0], [0, 0, 1.0], [0, 0.2, 0.9], [0, 2.0, 0]])
    assert dalle.nearest(train, labels, x, np.array([0, 2, 1, 1])) == 0.75


def test_the_weight_of_the_kl_is_that_of_the_options_times_that_of_the_step():
    config = dalle.Config(**dalle.QUICK)
    model = dalle.build_coder(config, (4, 4, 1), 17)
    x = np.random.default_rng(0).integers(0, 17, (5, 4, 4, 1))

    @jax.jit
    def losses(init_key, key):
        params, given = model.init(init_key), {"temperature": 1.0, "beta": 0.5}
        told = {
            beta: dalle.coder_loss(
                dataclasses.replace(config, beta=beta),
                model,
                params,
                jax.random.clone(key),
                x,
                **given,
            )
            for beta in (1.0, 5.0)
        }
        return told[1.0][0], told[5.0][0], told[1.0][1]["kl"]

    light, heavy, kl = losses(jax.random.key(0), jax.random.key(1))
    assert kl > 1e-3
    np.testing.assert_allclose(heavy - light, 0.5 * 4.0 * kl, rtol=1e-3)


def test_a_run_makes_pictures_of_names_and_both_stages_load_in_one_line(tmp_path, capsys):
    options = dalle.QUICK | {"num_steps": 2, "prior_steps": 2, "eval_every": 1}
    config = dalle.Config(workdir=tmp_path, progress=False, **options)
    found = dalle.main(config)
    dalle.show(found)
    row = found["models"]["dalle"]
    assert "bits/dim" in capsys.readouterr().out
    parts = row["rate_bits_per_dim"] + row["distortion_bits_per_dim"]
    np.testing.assert_allclose(parts, row["elbo_bits_per_dim"], rtol=1e-3)
    assert set(found["samples"]) == {"training rows", "pictures of a name"}
    assert row["test_bits_per_dim"] < parts + 0.05 and 1 <= row["perplexity"] <= row["num_codes"]
    for picture in ("reconstructions", "samples", "codes", "usage", "curves", "prior"):
        assert (tmp_path / f"{picture}.png").exists()
    loaded = learning.load(tmp_path / "dalle")
    text = dalle.texts(sets.CLASSES["digits"])[0][7]
    z = loaded.model.prior(loaded.params, text).sample(seed=jax.random.key(0))
    assert z.shape == (4, 4, 5) and (np.asarray(z).sum(-1) == 1).all()
    x = loaded.model.likelihood(loaded.params, z).mean()
    assert x.shape == (8, 8, 1) and np.isfinite(x).all()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_stopped_in_its_second_stage_goes_on_bit_by_bit(tmp_path, monkeypatch):
    options = dalle.QUICK | {"num_steps": 4, "prior_steps": 4, "eval_every": 2, "dropout": 0.1}
    config = dalle.Config(workdir=tmp_path / "a", progress=False, **options)
    row = dalle.main(config)["models"]["dalle"]
    again = dataclasses.replace(config, workdir=tmp_path / "b")
    check_goes_on(monkeypatch, again, dalle.main, row, "dalle", training=1, step=3)
