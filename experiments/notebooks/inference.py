# %% [markdown]
# # Inference: EM for mixtures
#
# A mixture says that each row came from one of $K$ components, and does not say from which:
# $p_\theta(x) = \sum_k \pi_k\, N(x; \mu_k, \Sigma_k)$. Expectation maximisation climbs its
# likelihood by a bound that touches it. With $q$ the posterior of the components at the present
# $\theta$,
#
# $$\log p_\theta(x) = E_q \log \frac{p_\theta(x, k)}{q(k)}
#   + KL\big(q(k)\,\|\,p_\theta(k \mid x)\big),$$
#
# the E-step makes the last term zero, and the M-step raises the first. So no step can fall.

# %%
import jax
import jax.numpy as jnp

from dgm_jax import data, inference, learning, plots

# %% [markdown]
# ## An oracle
#
# Run the steps one by one from random rows as means. The log-likelihood must rise at every step,
# and the best mixture of one component is known in closed form: the Gaussian of mean and
# covariance.

# %%
num_steps = 60  # quick: 5
x = data.pinwheel().sample(jax.random.key(0), 3000)
losses, params = {}, {}
for num in (1, 5, 10, 25):
    em = inference.gaussian_mixture_em(x, num, start_steps=0)
    fit = jax.jit(lambda key: learning.fit(em, key, lambda key, t: x, num_steps=num_steps))
    state, told = fit(jax.random.key(1))
    losses[num], params[num] = told["log_likelihood"], em.params(state)
    gain = jnp.diff(losses[num]).min()
    print(f"K = {num:2}: the smallest gain of a step is {gain:+.0e} nats a row")
gaussian = -0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * jnp.cov(x.T, bias=True))[1]
print(f"one Gaussian: {losses[1][-1]:.4f} nats by EM, {gaussian:.4f} by its formula")

# %% [markdown]
# Gains below $10^{-6}$ are the rounding of float32. Most of the climb is done in ten steps, and
# then components move about to share the arms of the wheel among them.

# %%
steps = jnp.arange(num_steps)
plots.curves(
    {f"K = {num}": (steps, loss) for num, loss in losses.items()},
    xlabel="step",
    ylabel="log-likelihood, nats a row",
)

# %%
truth = data.pinwheel()
mixtures = {
    f"K = {num}": jax.jit(
        lambda x, num=num: inference.gaussian_mixture(2, num).dist(params[num]).log_prob(x)
    )
    for num in (5, 25)
}
plots.densities({"truth": jax.jit(truth.log_prob), **mixtures}, resolution=120)

# %% [markdown]
# ## How many components?
#
# On the rows that were fitted more components are always better. On others they are not: the
# likelihood of held-out rows says when a mixture begins to learn the noise. Here few rows are
# given, and of ten starts side by side the best is kept.

# %%
few, held_out = x[:150], truth.sample(jax.random.key(2), 3000)
nums = (1, 2, 5, 10, 15, 20, 30)  # quick: (1, 2)
curve = {"fitted rows": [], "other rows": []}
for num in nums:
    fitted = inference.fit_gaussian_mixture(
        few, jax.random.key(3), num_components=num, num_restarts=10, floor=1e-3
    )
    p = fitted.model.dist(fitted.params)
    curve["fitted rows"].append(p.log_prob(few).mean())
    curve["other rows"].append(p.log_prob(held_out).mean())
plots.curves(
    {name: (nums, values) for name, values in curve.items()}, xlabel="K", ylabel="nats a row"
)

# %% [markdown]
# ## Exercises
#
# 1. Take `covariance="diagonal"` and `"spherical"`. How many components do they need to reach the
#    full covariances, and how many numbers is that?
# 2. `inference.fit_variational_mixture` puts a prior on everything. How many of its 30 components
#    keep more than one row of the 150?
# 3. Set `floor=0` and K = 30 on the few rows. Which likelihood does a component reach that has
#    one row to itself, and what does the floor have to do with a prior?
