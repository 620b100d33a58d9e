# %% [markdown]
# # Latent variables: the variational autoencoder
#
# A latent variable model explains $x$ by a code $z$ that nobody sees, $p_\theta(x) = \int p(z)\,
# p_\theta(x \mid z)\, dz$. The integral has no closed form, so a second net guesses which $z$ may
# have made $x$, and gives a bound:
#
# $$\log p_\theta(x) \;\ge\; E_{q_\phi(z \mid x)} \log p_\theta(x \mid z)
#   - KL\big(q_\phi(z \mid x)\,\|\,p(z)\big).$$

# %%
import distrax
import jax
import jax.numpy as jnp
import optax

from dgm_jax import data, inference, learning, likelihoods, metrics, nets, objectives, plots, vae

# %% [markdown]
# ## An oracle
#
# If all is linear and Gaussian, the integral is known (probabilistic PCA). With the true
# posterior the bound is tight, up to the noise of 200 draws, here some thousandths. With a
# posterior twice as wide it is short by the KL between the two, while importance sampling, which
# weighs the draws, still finds $\log p(x)$ as there are more of them.

# %%
linear = inference.ppca(6, num_latents=2)
params = linear.init(jax.random.key(0))
x = 1.5 * jax.random.normal(jax.random.key(1), (300, 6))
exact = inference.ppca_density(6, num_latents=2).dist(params).log_prob(x).mean()


def wider(params, x, cond=None, *, key=None):
    q = linear.posterior(params, x)
    return distrax.MultivariateNormalFullCovariance(q.mean(), 4 * q.covariance())


bound = lambda model: -objectives.elbo(model, params, jax.random.key(2), x, num_samples=200)[0]
wide = linear._replace(posterior=wider)
print(f"log p(x)                          {exact:.4f}")
print(f"bound, true posterior             {bound(linear):.4f}")
print(f"bound, one twice as wide          {bound(wide):.4f}")
print(f"  ... and the KL of the two added {bound(wide) + 2 / 2 * (4 - 1 - jnp.log(4)):.4f}")
for num in (1, 10, 100):
    found = metrics.importance_log_prob(wide, params, jax.random.key(3), x, num_samples=num)
    print(f"importance sampling, K = {num:3}      {found.log_prob.mean():.4f}")

# %% [markdown]
# ## A VAE of the digits
#
# Two MLPs, 12 latents, and for each pixel a mixture of discretised logistics over its 17 levels.

# %%
num_steps = 1500  # quick: 10
num_samples = 100  # quick: 2
digits, levels = data.load("digits"), likelihoods.discretized_logistic(17)
train, test = digits.train.reshape(-1, 64), digits.test.reshape(-1, 64)
encoder = nets.mlp(64, 2 * 12, hidden=(256,))
decoder = nets.mlp(12, 64 * levels.num_params, hidden=(256,))
model = vae.vae(encoder, decoder, levels, 64, num_latents=12)
loss = lambda params, key, x: objectives.elbo(model, params, key, x)
descent = learning.gradient_descent(model.init, loss, optax.adam(1e-3))
draw = lambda key, t: jax.random.choice(key, train, (64,))
fit = jax.jit(lambda key: learning.fit(descent, key, draw, num_steps=num_steps))
state, told = fit(jax.random.key(4))
params = state.params
found = metrics.importance_log_prob(model, params, jax.random.key(5), test, num_samples=num_samples)
elbo = -jax.jit(lambda key: loss(params, key, test)[0])(jax.random.key(6))
print(f"bound               {objectives.bits_per_dim(elbo, 64):.3f} bits a pixel")
print(f"importance sampling {objectives.bits_per_dim(found.log_prob.mean(), 64):.3f}")

# %% [markdown]
# The bound has two parts: what it costs to say the code, and what it costs to say the picture
# given the code. In the first steps the codes cost nats and tell little, so their part falls again;
# it rises as they begin to tell the picture. Below, the codes of test digits, in the two directions
# of the 12 in which they vary most; a circle is the mean of a class.

# %%
smooth = lambda values: values[: len(values) // 10 * 10].reshape(-1, 10).mean(1)
parts = {"picture given code": told["distortion"], "code": told["kl"]}
steps = jnp.arange(num_steps // 10) * 10
plots.curves(
    {name: (steps, smooth(values)) for name, values in parts.items()}, xlabel="step", ylabel="nats"
)

# %%
codes = model.posterior(params, test).mean()
plots.latent_space({"means of q(z | x)": codes}, digits.labels["test"])

# %%
rebuilt = model.likelihood(params, codes[:12]).mode()
between = jnp.linspace(0, 1, 12)[:, None] * (codes[3] - codes[0]) + codes[0]
prior = jax.random.normal(jax.random.key(7), (12, 12))
rows = {
    "test data": test[:12],
    "from their codes": rebuilt,
    "on the way": model.likelihood(params, between).mode(),
    "from the prior": model.likelihood(params, prior).mode(),
}
plots.image_rows({name: jnp.reshape(x, (12, 8, 8)) for name, x in rows.items()})

# %% [markdown]
# ## Exercises
#
# 1. Train with `objectives.iwae(..., num_samples=5)`. Which of the two figures improves?
# 2. Replace the prior by a flow, `prior=combinators.pushforward(flows.realnvp(12),
#    distributions.standard_normal(12))`. Where in the space of codes was the old prior wrong?
# 3. Weigh the KL by `beta=4` (and by 0.1). What becomes of the codes' picture, of the samples
#    from the prior, and of the bits a pixel?
