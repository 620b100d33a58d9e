import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import learning, runs
from dgm_jax.data import TOYS
from experiments import fitting
from experiments.flows import toy
from tests.contracts.compiled import jit
from tests.helpers import perturb


@pytest.mark.slow
def test_a_short_run_beats_one_gaussian_and_draws_what_it_learned(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(fitting, "CLIP", 0.001)  # Adam's steps do not depend on it
    tiny = {"num_steps": 300, "num_layers": 4, "hidden": (32, 32), "num_test": 2000}
    config = toy.Config(workdir=tmp_path, toys=("moons",), models=("maf",), **tiny)
    result = runs.keep(config, toy.main, show=toy.show)["toys"]["moons"]
    moons = TOYS["moons"]()
    x = moons.sample(jax.random.key(5), 10_000)
    gaussian = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * jnp.cov(x.T)).logabsdet
    maf = result["models"]["maf"]
    assert -4 * maf["kl_stderr"] < maf["kl"] < 0.6 * (gaussian - moons.entropy)
    assert result["entropy"] == moons.entropy
    assert (tmp_path / "densities-moons.png").stat().st_size > 10_000
    told = capsys.readouterr().out
    assert "KL" in told and "moons, maf: the gradient was clipped to a norm of 0.001" in told
    loaded = learning.load(tmp_path)  # the one flow there
    score = jax.jit(lambda params: loaded.model.dist(params).log_prob(x).mean())
    kl = -moons.entropy - score(loaded.params)
    np.testing.assert_allclose(kl, maf["kl"], atol=5 * maf["kl_stderr"])


@pytest.mark.parametrize("name", ["mixture", "qr"])
def test_every_model_knows_its_volume(name):
    model = toy.build(toy.Config(num_layers=2, hidden=(8,)), name)

    @jit
    def run(x):
        params = perturb(model.init(jax.random.key(0)), jax.random.key(1), 0.3)
        bijector = model.dist(params).bijector
        z, log_det = bijector.inverse_and_log_det(x)
        return z, log_det, jax.vmap(jax.jacfwd(bijector.inverse))(x), bijector.forward(z)

    x = TOYS["moons"]().sample(jax.random.key(2), 20)
    z, log_det, jacobian, back = run(x)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-3)
    np.testing.assert_allclose(back, x, atol=1e-3)
    varies = np.ptp(np.asarray(jacobian), axis=0).max() > 1e-2
    assert varies == (name not in toy.LINEAR)
    assert (np.ptp(log_det) > 1e-2) == (name == "mixture")


@pytest.mark.slow
def test_a_linear_flow_learns_the_gaussian_of_the_data():
    config, moons = toy.Config(num_steps=1500, batch_size=512), TOYS["moons"]()
    model = toy.build(config, "qr")
    params, norms = toy.learn(config, model, moons, jax.random.key(0))
    assert norms.shape == (1500,) and (norms > 0).all()
    x = moons.sample(jax.random.key(5), 20_000)
    nats = jax.jit(lambda p, x: -model.dist(p).log_prob(x).mean())(params, x)
    gaussian = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * jnp.cov(x.T)).logabsdet
    np.testing.assert_allclose(nats, gaussian, atol=5e-3)
