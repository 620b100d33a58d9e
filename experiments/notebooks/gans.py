# %% [markdown]
# # Adversarial models
#
# A generator maps noise to samples and has no density. A critic is trained to tell its samples
# from data, and the generator to be taken for data:
#
# $$\min_G \max_D\; E_{x \sim p} \log D(x) + E_{z} \log\big(1 - D(G(z))\big).$$
#
# For a fixed generator the best critic is known, $D^*(x) = p(x) / (p(x) + q(x))$, and with it the
# game's value is $2\,JSD(p, q) - \log 4$: the critic estimates a divergence.

# %%
import functools

import jax
import jax.numpy as jnp
import optax

from dgm_jax import combinators, distributions, learning, nets, objectives, plots

# %% [markdown]
# ## An oracle
#
# Two Gaussians at the distance 2. The logit of the best critic is the log-ratio of their
# densities, a straight line. We train a critic of no particular form, and look at both.

# %%
num_steps = 600  # quick: 20
critic = nets.mlp(1, 1, hidden=(64, 64))
game = objectives.minimax()


def critic_loss(params, key, batch):
    real_key, fake_key = jax.random.split(key)
    real = 1.0 + jax.random.normal(real_key, (512, 1))
    fake = -1.0 + jax.random.normal(fake_key, (512, 1))
    return game.critic(critic.apply(params, real), critic.apply(params, fake)), {}


descent = learning.gradient_descent(critic.init, critic_loss, optax.adam(3e-3))
fit = jax.jit(lambda key: learning.fit(descent, key, num_steps=num_steps)[0].params)
params = fit(jax.random.key(0))
x = jnp.linspace(-3, 3, 61)
logit = critic.apply(params, x[:, None])[:, 0]
print("largest error of the logit on [-2, 2]:", jnp.abs(logit - 2 * x)[10:51].max().round(2))
plots.curves({"trained": (x, logit), "log p/q": (x, 2 * x)}, xlabel="x", ylabel="logit")

# %% [markdown]
# ## The game on a ring
#
# Eight Gaussians. Without a penalty on the critic's slope the game circles and drops modes; with
# R1, the squared slope at the data, it settles.

# %%
num_turns = 1500  # quick: 10
angle = 2 * jnp.pi * jnp.arange(8) / 8
centres = 2 * jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)


def data(key, num):
    which_key, noise_key = jax.random.split(key)
    which = jax.random.randint(which_key, (num,), 0, 8)
    return centres[which] + 0.05 * jax.random.normal(noise_key, (num, 2))


leaky = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
options = {"hidden": (64, 64, 64), "activation": leaky}
net = nets.mlp(2, 1, **options)
critic = net._replace(apply=lambda params, x, key=None: net.apply(params, x, key=key)[:, 0])
model = combinators.adversarial(distributions.standard_normal(4), nets.mlp(4, 2, **options), critic)


def play(penalty, weight):
    adam = optax.adam(1e-3, b1=0.0, b2=0.99)
    algorithm = learning.adversaries(
        model,
        objectives.non_saturating(),
        critic=adam,
        generator=adam,
        penalty=penalty,
        penalty_weight=weight,
        ema_decay=0.99,
    )
    draw = lambda key, t: data(key, 256)
    fit = jax.jit(lambda key: learning.fit(algorithm, key, draw, num_steps=num_turns)[0])
    params, state = algorithm.params(fit(jax.random.key(1)))
    return objectives.generated(model, params, state, jax.random.key(2), 1000)


samples = {"data": data(jax.random.key(3), 1000)}
samples["no penalty"] = play(None, 0.0)
samples["R1"] = play(objectives.r1, 0.1)
for name, x in samples.items():
    distances = jnp.linalg.norm(x[:, None] - centres, axis=-1)
    good = distances.min(1) < 0.15
    counts = jnp.zeros(8).at[distances.argmin(1)].add(good)
    print(f"{name:10}  modes {(counts > 12).sum()} of 8, good samples {good.mean():.0%}")

# %%
plots.planes({"ring": samples}, bounds=(-2.8, 2.8))

# %% [markdown]
# ## Exercises
#
# 1. Replace the game by `objectives.wasserstein()` with `objectives.gradient_penalty`, and give
#    the critic five updates a step (`num_critic_updates`). What does the critic's value estimate
#    now?
# 2. Let z have 1 number instead of 4. Which samples lie between the modes, and why must some?
# 3. The oracle's critic learns from samples alone. Write its loss for
#    `objectives.f_divergence("kl")` (`objectives.f_bound`), and compare the bound with $KL = 2$
#    nats.
