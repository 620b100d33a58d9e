# %% [markdown]
# # Scores and diffusion
#
# A process drowns data in noise, $x_t = \alpha_t x + \sigma_t \varepsilon$ with $\varepsilon \sim
# N(0, I)$, until nothing is left of $x$. The density $p_t$ of $x_t$ has a score, and the best
# guess of the noise is that score in other clothes (Tweedie's formula):
#
# $$\nabla \log p_t(x_t) = -\frac{E[\varepsilon \mid x_t]}{\sigma_t}, \qquad
#   E[x \mid x_t] = \frac{x_t - \sigma_t E[\varepsilon \mid x_t]}{\alpha_t}.$$
#
# So a net that learns to tell the noise from the picture is a generative model: it says at every
# noise level which way the data lie.

# %%
import jax
import jax.numpy as jnp
import optax

from dgm_jax import data, diffusion, learning, nets, plots

# %% [markdown]
# ## An oracle
#
# If the data are $N(\mu, s^2 I)$, everything is known: $p_t = N(\alpha_t \mu, (\alpha_t^2 s^2 +
# \sigma_t^2) I)$. A denoiser that guesses as Bayes would must have this score at every time, up to
# the rounding of its guess, which is divided by a small $\sigma_t$ at $t = 0.1$.

# %%
process = diffusion.linear_log_snr()
mu, s = jnp.array([1.0, -2.0]), 0.7


def best_noise(x_t, t):
    alpha, sigma = process.alpha(t)[..., None], process.sigma(t)[..., None]
    mean = mu + alpha * s**2 / (alpha**2 * s**2 + sigma**2) * (x_t - alpha * mu)  # E[x | x_t]
    return (x_t - alpha * mean) / sigma


t = jnp.array([0.1, 0.5, 0.9])
x_t = jax.random.normal(jax.random.key(0), (3, 2))
alpha, sigma = process.alpha(t)[:, None], process.sigma(t)[:, None]
jnp.set_printoptions(precision=3, suppress=True)
print("from the noise:", *-best_noise(x_t, t) / sigma)
print("of the Gaussian:", *-(x_t - alpha * mu) / (alpha**2 * s**2 + sigma**2))

# %% [markdown]
# ## Learning the plane
#
# Eight Gaussians on a ring. The loss is the squared error of the guessed noise; the net is told
# the log-signal-to-noise ratio $\lambda_t$ and not $t$.

# %%
num_steps = 3000  # quick: 30
num = 2000  # quick: 49
resolution = 100  # quick: 7
toy = data.gaussians()
net = nets.time_mlp(2, hidden=(128, 128))
model = diffusion.denoiser(net, (2,), process, target="noise")
loss = lambda params, key, x: diffusion.simple_loss(model, params, key, x)
adam = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(2e-3, b2=0.99))
descent = learning.gradient_descent(model.init, loss, adam, ema_decay=0.999)
draw = lambda key, t: toy.sample(key, 256)
fit = jax.jit(lambda key: learning.fit(descent, key, draw, num_steps=num_steps)[0])
params = descent.params(fit(jax.random.key(1)))

# %% [markdown]
# The same net samples in several ways: the chain of DDPM puts noise back at each step, and the
# ODE has the same marginals and none. Watch noise become data.

# %%
times = (4, 8, 16, 40)  # quick: (4, 8)
samples = {}
for steps in times:
    chain = jax.jit(lambda p, k: diffusion.sample(model, p, k, num, num_steps=steps))
    solver = jax.jit(lambda p, k: diffusion.heun(model, p, k, num, num_steps=max(steps // 2, 2)))
    samples[f"{steps} passes"] = {
        "chain": chain(params, jax.random.key(2)),
        "ODE, by Heun": solver(params, jax.random.key(2)),
    }
plots.planes(
    {
        way: {steps: found[way][:600] for steps, found in samples.items()}
        for way in ("chain", "ODE, by Heun")
    }
)

# %% [markdown]
# And the ODE is a continuous normalizing flow, so the same net tells an exact density. It cannot
# be better than the truth: $E \log p(x) - E \log p_\theta(x) = KL \ge 0$.

# %%
density = jax.jit(diffusion.ode_density(model).dist(params).log_prob)
test = toy.sample(jax.random.key(3), num)
print(f"KL(truth, model) = {(toy.log_prob(test) - density(test)).mean():.3f} nats")
plots.densities(
    {"truth": jax.jit(toy.log_prob), "ODE": density}, resolution=resolution, bounds=(-4.0, 4.0)
)

# %% [markdown]
# ## Exercises
#
# 1. Train with `target="velocity"` and `diffusion.straight()`: flow matching. Which
#    lines of this notebook change, and which figures?
# 2. Sample with `diffusion.sample(..., eta=0.0)`, which is DDIM, with the number of passes of the
#    chain. From how many passes on does noise on the way pay?
# 3. Replace the squared error by `diffusion.bound_loss`, and compare its value with the density
#    of the ODE: it is a bound of what, and how tight?
