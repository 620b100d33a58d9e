# %% [markdown]
# # Disentanglement
#
# Pictures of shapes are made of a few factors: which shape, how large, where. A code is
# disentangled if each of its numbers tells one factor. A VAE has no reason to find such a code,
# and a theorem says that none can be found from the data alone. What one can do is ask for
# independent codes. With $q(z) = \frac{1}{N} \sum_n q(z \mid x_n)$ the mean KL of a VAE falls
# into three parts,
#
# $$\frac{1}{N} \sum_n KL\big(q(z \mid x_n)\,\|\,p\big)
#   = \underbrace{I(n; z)}_{\text{information}}
#   + \underbrace{KL\big(q(z)\,\|\,\textstyle\prod_j q(z_j)\big)}_{\text{total correlation}}
#   + \sum_j KL\big(q(z_j)\,\|\,p\big),$$
#
# and the β-TCVAE weighs the middle one.

# %%
import jax
import jax.numpy as jnp
import optax

from dgm_jax import data, disentangled, learning, likelihoods, metrics, nets, plots, vae

# %% [markdown]
# ## An oracle
#
# The metrics must know a perfect code and a hopeless one. Let the code be the factors themselves,
# then their mixture by a rotation, then noise. MIG is the share of a factor's entropy that the
# best code knows, less that of the second best.

# %%
shapes = data.load_factored("shapes")
factors = shapes.factors
centred = (factors - factors.mean(0)) / factors.std(0)
rotation = jnp.linalg.qr(jax.random.normal(jax.random.key(0), (4, 4)))[0]
noise = jax.random.normal(jax.random.key(1), centred.shape)
for name, code in (("factors", centred), ("rotated", centred @ rotation), ("noise", noise)):
    found = metrics.mig(code, factors, num_bins=20)
    print(f"{name:8} MIG {float(found.score):.3f}")

# %%
plots.sample_grid(
    shapes.x[jax.random.permutation(jax.random.key(2), len(factors))[:48]], columns=16
)

# %% [markdown]
# ## Two autoencoders
#
# The same nets, once as a plain VAE and once with the total correlation weighed by $\beta$.

# %%
num_steps = 4000  # quick: 10
x = jnp.asarray(shapes.x.reshape(-1, 256))
encoder = nets.mlp(256, 2 * 6, hidden=(128, 128), activation=jax.nn.relu)
decoder = nets.mlp(6, 256, hidden=(128, 128), activation=jax.nn.relu)
model = vae.vae(encoder, decoder, likelihoods.bernoulli(), 256, num_latents=6)


def trained(beta):
    def loss(params, key, x):
        return disentangled.tc_vae_loss(model, params, key, x, beta=beta, num_data=len(shapes.x))

    descent = learning.gradient_descent(model.init, loss, optax.adam(1e-3))
    draw = lambda key, t: jax.random.choice(key, x, (64,), replace=False)
    fit = jax.jit(lambda key: learning.fit(descent, key, draw, num_steps=num_steps)[0].params)
    return fit(jax.random.key(3))


params = {"VAE": trained(1.0), "β-TCVAE, β = 6": trained(6.0)}
known = {}
for name, p in params.items():
    codes = model.posterior(p, x).mean()
    known[name] = metrics.mig(codes, factors)
    surgery = metrics.elbo_surgery(model, p, jax.random.key(4), x)
    print(
        f"{name:15} reconstruction {surgery.reconstruction:7.2f}, KL {surgery.kl:5.2f} nats, "
        f"MIG {known[name].score:.3f}"
    )

# %%
plots.bars(
    {
        name: {
            f"{factor}, best code": float(found.shares[:, j].max())
            for j, factor in enumerate(shapes.names)
        }
        for name, found in known.items()
    },
    ylabel="share of the factor that one code knows",
)

# %% [markdown]
# What each number of a code does is seen by moving it alone. Columns go from -2 to 2.

# %%
p = params["β-TCVAE, β = 6"]
codes = model.posterior(p, x).mean()
order = jnp.argsort(-codes.std(0))[:4]
moved = jnp.linspace(-2, 2, 9)
rows = {}
for unit in order:
    z = jnp.tile(codes[500], (9, 1)).at[:, unit].set(moved)
    rows[f"code {int(unit)}"] = model.likelihood(p, z).mean().reshape(9, 16, 16)
plots.image_rows(rows)

# %% [markdown]
# ## Exercises
#
# 1. Train five seeds of each. Is the difference of the MIGs larger than their spread?
# 2. Rotate the codes of the better model by `disentangled.entangling` (see
#    `experiments.disentangled.impossible`). The likelihood stays. Which metrics notice?
# 3. Replace the MIG by `metrics.dci`, which fits a predictor. On which of the three codes of the
#    oracle do the two disagree, and why?
