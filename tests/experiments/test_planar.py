import jax
import numpy as np
import pytest

from dgm_jax import learning, runs
from dgm_jax.data import ENERGIES
from experiments import fitting
from experiments.flows import planar
from tests.contracts.compiled import jit
from tests.helpers import perturb


@pytest.mark.slow
def test_a_short_run_comes_nearer_with_depth_and_draws_what_it_learned(tmp_path, capsys):
    tiny = {"num_steps": 1500, "num_test": 4000}
    config = planar.Config(workdir=tmp_path, targets=("u2",), depths=(1, 8), **tiny)
    result = runs.keep(config, planar.main, show=planar.show)["targets"]["u2"]
    shallow, deep = (result["depths"][k] for k in ("planar 1", "planar 8"))
    assert deep["kl"] > -4 * deep["kl_stderr"]  # a KL, with log Z right: never below 0
    assert deep["kl"] < shallow["kl"] < 2
    # each slice across the wave has the mass of a Gaussian of deviation 0.4, windowed along x_1
    width = 8 + 0.2 * np.sqrt(2 * np.pi)
    np.testing.assert_allclose(
        result["log_normaliser"], np.log(0.4 * np.sqrt(2 * np.pi) * width), atol=1e-3
    )
    assert (tmp_path / "densities-u2-planar.png").stat().st_size > 10_000
    loaded = learning.load(tmp_path / "u2-planar-8")
    draw = jax.jit(lambda params, key: loaded.model.dist(params).sample(seed=key, sample_shape=9))
    assert np.abs(draw(loaded.params, jax.random.key(0))[:, 0]).max() < 6
    assert "KL" in capsys.readouterr().out


def test_a_run_tells_where_most_gradients_are_clipped(tmp_path, capsys, monkeypatch):
    """The norms of all steps come out of the compiled run."""
    config = planar.Config(workdir=tmp_path, num_steps=3, num_test=4, batch_size=2)
    recipe = learning.Recipe(planar.build, {"name": "planar", "depth": 1})
    for clip, told in (
        (1e9, ""),
        (1e-9, "u1: the gradient was clipped to a norm of 1e-09 in most"),
    ):
        monkeypatch.setattr(fitting, "CLIP", clip)
        planar.fit(config, recipe, ENERGIES["u1"], 0.0, "u1")
        out = capsys.readouterr().out
        assert out.startswith(told) and bool(out) == bool(told)


@pytest.mark.parametrize("name", ["planar", "triangular"])
def test_every_flow_moves_both_coordinates_and_knows_its_volume(name):
    model = planar.build(name, 3)
    z = jax.random.normal(jax.random.key(2), (20, 2))

    @jit
    def run(z):
        params = perturb(model.init(jax.random.key(0)), jax.random.key(1), 0.3)
        bijector = model.dist(params).bijector
        jacobian = jax.vmap(jax.jacfwd(bijector.forward))(z)
        return bijector.forward_log_det_jacobian(z), jacobian

    log_det, jacobian = run(z)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-4)
    assert (np.abs(jacobian).max(0) > 1e-3).all()  # each of each, the lower triangle too
