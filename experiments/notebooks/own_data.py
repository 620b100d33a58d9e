# %% [markdown]
# # Your data, your net: from an array to a checkpoint and back
#
# A model is data in, parameters out. This notebook takes an array of its own, a net that is not
# part of the library, trains a density of it,
#
# $$p_\theta(x) = \pi\big(T_\theta^{-1}(x)\big)\,
#   \left|\det \partial T_\theta^{-1} / \partial x\right|,$$
#
# writes a run to disk, and loads it again.

# %%
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen

from dgm_jax import (
    combinators,
    distributions,
    flows,
    learning,
    likelihoods,
    nets,
    objectives,
    plots,
    vae,
)

# %% [markdown]
# ## An array
#
# Any numbers will do: here pressure and temperature of a gas that is heated and cooled, with
# noise. `fit_to_data` splits off rows for validation, standardises, trains, and stops in time.
# What it does to the data is part of every score, so `log_prob` is of your units.

# %%
num_steps = 1500  # quick: 30
rng = np.random.default_rng(0)
angle = rng.uniform(0, 2 * np.pi, 4000)
rows = np.stack([1013 + 40 * np.cos(angle), 290 + 15 * np.sin(2 * angle)], -1)
rows += rng.normal(size=rows.shape) * [4.0, 1.5]
train, test = rows[:3500], rows[3500:]

model = combinators.pushforward(flows.maf(2, hidden=(64, 64)), distributions.standard_normal(2))
fitted = learning.fit_to_data(model, train, jax.random.key(0), num_steps=num_steps, progress=False)
gaussian = -0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(train.T))[1]
print(f"log p(x) of the test rows {fitted.log_prob(test).mean():.3f}; one Gaussian {gaussian:.3f}")

# %%
scale = lambda x: (np.asarray(x) - rows.mean(0)) / rows.std(0)
draws = {"data": scale(test), "samples": scale(fitted.sample(jax.random.key(1), 500))}
plots.planes({"standardised": draws}, bounds=(-3.0, 3.0))

# %% [markdown]
# ## An oracle
#
# Doubling the units of both columns must lower $\log p$ by $2 \log 2$ and change nothing else, if
# the log-determinant of the preprocessing is counted.

# %%
twice = learning.fit_to_data(
    model, 2 * train, jax.random.key(0), num_steps=num_steps, progress=False
)
print("difference:", fitted.log_prob(test).mean() - twice.log_prob(2 * test).mean())
print("2 log 2:   ", 2 * np.log(2))

# %% [markdown]
# ## A net of your own
#
# Every model takes any net. `nets.from_linen` turns a flax module into the pair of pure functions
# that the library calls a `Net`; a pair that you write yourself does as well.


# %%
class Gated(linen.Module):
    """Two layers that say how much of themselves they let through, and a linear one."""

    out: int

    @linen.compact
    def __call__(self, x):
        for _ in range(2):
            x = linen.Dense(64)(x) * jax.nn.sigmoid(linen.Dense(64)(x))
        return linen.Dense(self.out)(x)


gaussian = likelihoods.gaussian()
autoencoder = vae.vae(
    nets.from_linen(Gated(2 * 2), (2,)),
    nets.from_linen(Gated(2 * gaussian.num_params), (2,)),
    gaussian,
    2,
    num_latents=2,
)
loss = lambda params, key, x: objectives.elbo(autoencoder, params, key, x)

# %% [markdown]
# ## A run on disk
#
# `train` keeps a run in a directory: metrics, checkpoints, and on a restart it goes on to the
# same bits. `save` and `load` are for parameters alone.

# %%
folder = Path(tempfile.mkdtemp())
standard = jnp.asarray(scale(train), jnp.float32)
draw = jax.jit(lambda step: jax.random.choice(jax.random.key(step), standard, (256,)))
trained = learning.train(
    learning.gradient_descent(autoencoder.init, loss, optax.adam(1e-3)),
    jax.random.key(2),
    draw,
    num_steps=num_steps,
    log_every=max(num_steps // 50, 1),
    workdir=folder / "run",
    progress=False,
)
print("the run keeps", sorted(path.name for path in (folder / "run").iterdir()))
plots.curves(
    {"loss": ([row["step"] for row in trained.history], [row["loss"] for row in trained.history])},
    xlabel="step",
    ylabel="-ELBO, nats",
)

# %%
loaded = learning.load(folder / "run")
same = jax.tree.map(lambda a, b: bool((a == b).all()), loaded.params, trained.params)
print("all parameters came back, bit by bit:", all(jax.tree.leaves(same)))

# %% [markdown]
# ## Exercises
#
# 1. Interrupt the cell of the run (the square button) and run it again. From which step does it
#    go on?
# 2. Give `train` a `recipe` (see `dgm_jax/learning/recipes.py`). What can `load` tell then that
#    it could not before?
# 3. Write `Gated` as two plain functions, `init(key)` and `apply(params, x)`, without flax, and
#    show that the losses agree from the same parameters.
