# %% [markdown]
# # Autoregressive models
#
# The chain rule writes any distribution of $x = (x_1, \dots, x_d)$ as a product of
# one-dimensional ones, without an assumption:
#
# $$p_\theta(x) = \prod_{i=1}^{d} p_\theta(x_i \mid x_{<i}).$$
#
# A causal net computes the parameters of all $d$ conditionals in one pass: its output $i$ sees
# $x_{<i}$ only. MADE is an MLP with masks on its weights that makes it so.

# %%
import itertools

import jax
import jax.numpy as jnp

from dgm_jax import autoregressive, data, learning, likelihoods, objectives, plots

# %% [markdown]
# ## An oracle
#
# Over ten bits there are 1024 vectors, few enough to sum over: the probabilities of any MADE,
# trained or not, must sum to one. And no output may depend on its own input or a later one.

# %%
small = autoregressive.made(10, likelihoods.bernoulli(), hidden=(32,))
params = small.init(jax.random.key(0))
keys = iter(jax.random.split(jax.random.key(1), 100))
params = jax.tree.map(lambda a: a + 0.5 * jax.random.normal(next(keys), a.shape), params)
every = jnp.array(list(itertools.product((0, 1), repeat=10)))
print("sum of all p(x):", jnp.exp(small.dist(params).log_prob(every)).sum())

# %%
number = lambda x: small.dist(params).conditionals(x).logits  # of each bit, given those before
x = every[613]
changed = jnp.abs(number(jnp.where(jnp.eye(10, dtype=bool), 1 - x, x)) - number(x)) > 1e-4
print("row i: which conditionals change with x_i\n", changed.astype(int))

# %% [markdown]
# Nothing on the diagonal or to its left: $p(x_j \mid x_{<j})$ changes with $x_i$ only if $i < j$.
#
# ## Learning the digits
#
# 64 pixels with 17 levels each. The conditional of a pixel is a mixture of discretised logistics,
# and the class of the digit is given. A histogram of each pixel by itself needs 2.43 bits a
# pixel.

# %%
num_steps = 1500  # quick: 20
digits = data.load("digits")
train, test = digits.train.reshape(-1, 64), digits.test.reshape(-1, 64)
levels = likelihoods.discretized_logistic(17)
model = autoregressive.made(64, levels, hidden=(500,), cond_shape=(10,))
fitted = learning.fit_to_data(
    model,
    train,
    jax.random.key(2),
    cond=digits.labels["train"],
    num_steps=num_steps,
    progress=False,
)
nats = fitted.log_prob(test, digits.labels["test"])
print(f"{objectives.bits_per_dim(nats.mean(), 64):.3f} bits a pixel")

# %% [markdown]
# To sample, pixel after pixel is drawn from its conditional. The lecture's way takes $d$ passes
# of the net; here each hidden unit is computed once, as soon as what it sees is known.

# %%
samples = fitted.sample(jax.random.key(3), 3, cond=range(10))
plots.sample_grid(samples.reshape(-1, 8, 8), columns=10)

# %% [markdown]
# The same conditionals complete a picture whose upper half is given. The order of the pixels is
# from the top, so all that is known comes first.

# %%
one_hot = jax.nn.one_hot(digits.labels["test"][:10], 10)
p = model.dist(fitted.params, one_hot)
given = jnp.arange(64) < 32
halves = jnp.where(given, test[:10], 0)
drawn = [p.complete(test[:10], given, seed=jax.random.key(seed)) for seed in range(3)]
rows = {"given": halves, "first": drawn[0], "second": drawn[1], "third": drawn[2]}
rows["truth"] = test[:10]
plots.image_rows({name: jnp.reshape(x, (10, 8, 8)) for name, x in rows.items()})

# %% [markdown]
# ## Exercises
#
# 1. Take `orders` of the pixels other than from the top (`help(autoregressive.made)`). Does the
#    code length change? Should it, by the chain rule?
# 2. Replace the likelihood by `likelihoods.categorical(17)`. It has more parameters and no order
#    of the levels. Which generalises better from 1297 digits?
# 3. `model.dist(params, cond).sharpened(temperature=0.8)` draws from sharper conditionals. Look
#    at its samples, and say why they are not samples of $p(x)^{1/0.8}$.
