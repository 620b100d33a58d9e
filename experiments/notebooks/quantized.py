# %% [markdown]
# # Quantised latents: VQ-VAE
#
# The code of a picture is a small map of integers. The encoder's vector is replaced by the
# nearest of $K$ vectors of a codebook,
#
# $$k(x) = \arg\min_k \|f(x) - e_k\|^2, \qquad z = e_{k(x)},$$
#
# and the gradient is passed straight through: $\partial L/\partial f := \partial L/\partial z$. A
# picture is then told by the code length of its integers under a prior (the rate) and its own,
# given them (the distortion). Their sum is a bound of $-\log p(x)$.

# %%
import jax
import jax.numpy as jnp
import optax

from dgm_jax import autoregressive, data, learning, likelihoods, nets, objectives, plots, quantized

# %% [markdown]
# ## An oracle
#
# The averages of a codebook, with no memory (decay 0), make one step of Lloyd's k-means of each
# batch: a code becomes the mean of the features that were nearest to it, and the squared distance
# can only fall.

# %%
features = jax.random.normal(jax.random.key(0), (500, 2))
averaged = quantized.averaged_codebook(6, 2, decay=0.0)
params, state = averaged.init(jax.random.key(1))
num_turns = 4  # quick: 1
for _ in range(num_turns):
    found, new = averaged.apply(params, state, features, train=True)
    lloyd = jnp.stack([features[found.codes == k].mean(0) for k in range(6)])
    code_vectors = averaged.vectors(params, new, jnp.arange(6))
    distance = ((features - found.vectors) ** 2).sum(-1).mean()
    error = jnp.abs(code_vectors - lloyd).max()
    print(f"mean squared distance {distance:.4f}, from the step of Lloyd {error:.0e}")
    state = new

# %% [markdown]
# ## Stage one: digits become sixteen integers
#
# The encoder halves the picture once, to a map of 4x4 vectors, and each becomes one of 64 codes.
# In the picture each code has a grey of its own, which has no order.

# %%
num_steps = 700  # quick: 5
digits, levels = data.load("digits"), likelihoods.discretized_logistic(17, num_components=3)
train, test = (x.reshape(-1, 8, 8, 1) for x in (digits.train, digits.test))
quantiser = quantized.averaged_codebook(64, 16, revive=0.1)
coder = quantized.vqvae(
    nets.map_encoder((8, 8, 1), 16, hidden=(32,), num_blocks=1),
    nets.map_decoder(16, (8, 8, 1), levels.num_params, hidden=(32,), num_blocks=1),
    levels,
    (8, 8, 1),
    quantiser,
)


def loss(params, key, x, *, state):
    return quantized.vqvae_loss(coder, params, key, x, state=state)


descent = learning.gradient_descent(
    lambda key: coder.init(key)[0],
    loss,
    optax.adam(2e-3),
    init_state=lambda key, params: coder.init(key)[1],
)
step = jax.jit(descent.step)
fitted = descent.init(jax.random.key(2))
for t in range(num_steps):
    key = jax.random.fold_in(jax.random.key(3), t)
    rows = jax.random.choice(key, len(train), (64,))
    fitted, told = step(fitted, jax.random.fold_in(key, 1), train[rows])
params = descent.params(fitted)
codes = {name: coder.encode(*params, x) for name, x in (("train", train), ("test", test))}
used = quantized.counts(codes["train"], 64)
print(
    f"maps of {codes['train'].shape[1:]} codes; perplexity {quantized.perplexity(used):.1f} of 64"
)

# %%
shown = test[:12]
uniform = quantized.with_prior(coder)
both = {"coder": params, "prior": {}}
maps = codes["test"][:12].reshape(12, *coder.code_shape[:2])
rows = {
    "test data": shown[..., 0] / 16,
    "codes": jnp.repeat(jnp.repeat(maps, 2, 1), 2, 2) / 63,
    "from codes": uniform.likelihood(both, codes["test"][:12]).mode()[..., 0] / 16,
}
plots.image_rows(rows)

# %% [markdown]
# ## Stage two: a prior of the codes
#
# Under a uniform prior a code costs log 64. Codes are not uniform, and not independent: a small
# autoregressive net learns the maps as it would learn pictures, and every nat it saves is a nat
# of the bound.

# %%
num_prior_steps = 400  # quick: 5
prior = autoregressive.gated_pixelcnn(
    coder.code_shape, likelihoods.categorical(64), hidden=32, num_layers=2, first_kernel_size=5
)
rate = lambda params, key, z: objectives.nll(prior, params, key, z)
descent = learning.gradient_descent(prior.init, rate, optax.adamw(2e-3, weight_decay=0.3))
step = jax.jit(descent.step)
fitted = descent.init(jax.random.key(4))
for t in range(num_prior_steps):
    key = jax.random.fold_in(jax.random.key(5), t)
    rows = jax.random.choice(key, len(train), (64,))
    fitted, told = step(fitted, jax.random.fold_in(key, 1), codes["train"][rows])
model = quantized.with_prior(coder, prior)
both = {"coder": params, "prior": descent.params(fitted)}
for name, m in (("uniform", uniform), ("learned", model)):
    nats = jax.jit(
        lambda key, x, m=m: objectives.log_weights(
            m, both if m is model else {"coder": params, "prior": {}}, key, x
        )[0]
    )(jax.random.key(6), test)
    print(f"{name} prior: {objectives.bits_per_dim(nats.mean(), 64):.3f} bits a pixel")

# %%
drawn = {
    "uniform codes": uniform.prior({"coder": params, "prior": {}}),
    "learned codes": model.prior(both),
}
rows = {}
for name, p in drawn.items():
    z = p.sample(seed=jax.random.key(7), sample_shape=12)
    rows[name] = model.likelihood(both, z).mode()[..., 0] / 16
plots.image_rows(rows)

# %% [markdown]
# ## Exercises
#
# 1. Replace the codebook by `quantized.finite_scalar((8, 8))`, which learns none. What becomes of
#    the perplexity, and of the bound?
# 2. Draw the histogram `used`. With `revive=0.0`, how many codes are never chosen?
# 3. The distortion alone falls with more codes, the rate rises. Plot both for 8, 64 and 512
#    codes: where is their sum lowest?
