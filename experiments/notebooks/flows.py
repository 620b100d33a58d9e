# %% [markdown]
# # Normalizing flows
#
# A flow is an invertible map $T_\theta$ that carries noise $z \sim \pi$ to data $x =
# T_\theta(z)$. The change of variables gives the density of $x$ exactly:
#
# $$\log p_\theta(x) = \log \pi\big(T_\theta^{-1}(x)\big)
#   + \log\left|\det \frac{\partial T_\theta^{-1}}{\partial x}(x)\right|.$$
#
# In this library a flow is a pair of pure functions: `init(key)` makes parameters, and
# `bijector(params)` is $T_\theta$, with both directions and their log-determinants.

# %%
import jax
import jax.numpy as jnp
import optax

from dgm_jax import combinators, data, distributions, flows, learning, objectives, plots

# %% [markdown]
# ## The map
#
# A masked autoregressive flow (MAF) moves coordinate $i$ by an affine map whose shift and scale
# depend on the coordinates before it. A new flow is the identity, so we move its parameters a
# little before we look at it.

# %%
flow = flows.maf(2, hidden=(32, 32), num_layers=2)
params = flow.init(jax.random.key(0))
keys = iter(jax.random.split(jax.random.key(1), 100))
params = jax.tree.map(lambda a: a + 0.3 * jax.random.normal(next(keys), a.shape), params)

T = flow.bijector(params)
z = jax.random.normal(jax.random.key(2), (5, 2))
x, log_det = T.forward_and_log_det(z)
print("z - T⁻¹(T(z)):", jnp.abs(z - T.inverse(x)).max())

# %% [markdown]
# ## An oracle
#
# The log-determinant that the flow tells, in one pass, must be that of the Jacobian which
# autodiff computes column by column. It is.

# %%
jacobian = jax.vmap(jax.jacfwd(T.forward))(z)
print("from the flow:    ", log_det)
print("from the Jacobian:", jnp.linalg.slogdet(jacobian)[1])

# %% [markdown]
# ## Learning a density whose truth is known
#
# Two moons. With their density known, the mean of $-\log p_\theta(x)$ has a floor that no model
# passes: the entropy. One Gaussian is the other mark.

# %%
num_steps = 1500  # quick: 30
resolution = 120  # quick: 10
toy = data.moons()


def fitted(flow, key):
    model = combinators.pushforward(flow, distributions.standard_normal(2))
    loss = lambda params, key, x: objectives.nll(model, params, key, x)
    rate = optax.cosine_decay_schedule(2e-3, num_steps)
    adam = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    descent = learning.gradient_descent(model.init, loss, adam)
    draw = lambda key, t: toy.sample(key, 256)
    fit = jax.jit(lambda key: learning.fit(descent, key, draw, num_steps=num_steps))
    state, metrics = fit(key)
    log_prob = jax.jit(lambda x: model.dist(state.params).log_prob(x))
    sample = lambda key, n: model.dist(state.params).sample(seed=key, sample_shape=n)
    return log_prob, jax.jit(sample, static_argnums=1), metrics["loss"]


log_prob, sample, losses = {}, {}, {}
for name, flow in (
    ("MAF", flows.maf(2, hidden=(64, 64))),
    ("RealNVP", flows.realnvp(2, hidden=(64, 64))),
):
    log_prob[name], sample[name], losses[name] = fitted(flow, jax.random.key(3))

# %%
test = toy.sample(jax.random.key(5), 20_000)
covariance = jnp.cov(test.T)
print(f"one Gaussian {0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * covariance)[1]:.3f} nats")
for name in log_prob:
    print(f"{name:12} {-log_prob[name](test).mean():.3f}")
print(f"the entropy  {toy.entropy:.3f}")

# %%
steps = jnp.arange(0, num_steps, 10)
smooth = lambda loss: loss[: 10 * len(steps)].reshape(-1, 10).mean(1)
plots.curves(
    {name: (steps, smooth(loss)) for name, loss in losses.items()},
    xlabel="step",
    ylabel="nats",
    baselines={"entropy": toy.entropy},
)

# %% [markdown]
# The density is a picture of the whole plane; the white dots are 300 samples of each flow. A flow
# is continuous: it cannot tear the one Gaussian in two, so a thin bridge of density is left between
# the moons.

# %%
plots.densities(
    {"truth": jax.jit(toy.log_prob), **log_prob},
    bounds=(-4.0, 4.0),
    resolution=resolution,
    samples={name: draw(jax.random.key(7), 300) for name, draw in sample.items()},
)

# %% [markdown]
# ## Exercises
#
# 1. Replace the affine law by a rational-quadratic spline: `flows.maf(2, hidden=(64, 64),
#    law=bijectors.rational_quadratic_spline(num_bins=8))`. How far from the entropy is it after
#    as many steps?
# 2. `flows.iaf` is the same map read in the other direction. Train it on the same data, and time
#    a sample and a density of both. Which direction is one pass?
# 3. Change $x$ to $2x$ and show, with `bijectors` or on paper, that the negative log-likelihood
#    of the best model grows by $2 \log 2$ nats. What becomes of the distance to the entropy?
