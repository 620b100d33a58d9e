# %% [markdown]
# # MAF and IAF: which direction is fast
#
# Both are the same affine autoregression, read in opposite directions. With $\mu_i, \sigma_i$
# from a masked net,
#
# $$\text{MAF:}\; z_i = \frac{x_i - \mu_i(x_{<i})}{\sigma_i(x_{<i})}, \qquad
#   \text{IAF:}\; x_i = \mu_i(z_{<i}) + \sigma_i(z_{<i})\, z_i.$$
#
# A MAF scores in one pass of the net, since all of $x$ is known, and samples in $d$ passes, since
# $x_{<i}$ must be there before $x_i$. An IAF is the other way round. This notebook counts and
# times the passes, and then shows that $d$ passes are not what sampling costs.

# %%
import jax
import jax.numpy as jnp

from dgm_jax import combinators, distributions, flows, plots
from dgm_jax.measure import flops, timing

# %% [markdown]
# ## An oracle
#
# Whatever computes the slow direction must be the inverse of the fast one, with the opposite
# log-determinant.

# %%
dims = (8, 32, 128, 256)  # quick: (4,)
batch, hidden = 64, (256, 256)


def models(dim):
    options = {"hidden": hidden, "num_layers": 2}
    base = distributions.standard_normal(dim)
    return {
        "MAF": combinators.pushforward(flows.maf(dim, **options), base),
        "MAF, d passes": combinators.pushforward(flows.maf(dim, inverse="naive", **options), base),
        "IAF": combinators.pushforward(flows.iaf(dim, **options), base),
    }


maf = flows.maf(dims[0], hidden=hidden, num_layers=2)
params = jax.tree.map(lambda a: a + 0.02, maf.init(jax.random.key(0)))
x = jax.random.normal(jax.random.key(1), (batch, dims[0]))
z, inward = jax.jit(lambda x: maf.bijector(params).inverse_and_log_det(x))(x)
back, outward = jax.jit(lambda z: maf.bijector(params).forward_and_log_det(z))(z)
print("largest |T(T⁻¹(x)) - x|:", jnp.abs(back - x).max())
print("largest sum of both log-dets:", jnp.abs(inward + outward).max())

# %% [markdown]
# ## Time
#
# A sample and a density of each, in turns, in units of one density pass of the MAF. The call that
# compiles does not count.

# %%
timed, arithmetic = {}, {}
for dim in dims:
    calls = {}
    for name, model in models(dim).items():
        params = jax.tree.map(lambda a: a + 0.01, model.init(jax.random.key(0)))
        x = jax.random.normal(jax.random.key(1), (batch, dim))
        score = jax.jit(lambda params, x, model=model: model.dist(params).log_prob(x))
        draw = jax.jit(
            lambda params, key, model=model: model.dist(params).sample(seed=key, sample_shape=batch)
        )
        calls[name, "sample"] = lambda f=draw, p=params: f(p, jax.random.key(2))
        if "passes" not in name:
            calls[name, "density"] = lambda f=score, p=params, x=x: f(p, x)
        arithmetic[dim, name] = flops.products(draw, params, jax.random.key(2))
    timed[dim] = timing.compare(calls, repeats=5)

one = {dim: timed[dim]["MAF", "density"].median_ms for dim in dims}
series = {
    f"{name} {way}": (dims, [timed[dim][name, way].median_ms / one[dim] for dim in dims])
    for name, way in timed[dims[0]]
}
plots.curves(series, xlabel="d", ylabel="time / a density pass", logx=True, logy=True)

# %% [markdown]
# Read the picture from the right: $d$ passes cost about $d$ times as much. The density of the IAF
# and the samples of the MAF, which the lecture gives $d$ passes too, cost a few passes at any $d$,
# as do the samples of the IAF, which are one pass and the noise. A hidden
# unit of a MADE that sees $x_{\le k}$ only is known once $x_{\le k}$ is, so the sequential
# direction is a forward substitution that computes each unit once. The arithmetic tells the same
# without a clock:

# %%
plots.curves(
    {
        name: (dims, [arithmetic[dim, name] / arithmetic[dim, "IAF"] for dim in dims])
        for name in ("MAF", "MAF, d passes", "IAF")
    },
    xlabel="d",
    ylabel="arithmetic of a sample / of one pass",
    logx=True,
    logy=True,
)

# %% [markdown]
# ## Exercises
#
# 1. Add `flows.realnvp` to the models. What does it pay for being fast in both directions?
# 2. The gradient of the IAF's density differentiates the substitution. Time `jax.grad` of the
#    mean density of both, and find the ratio in `benchmarks/RESULTS.md`.
# 3. On an accelerator the steps of the substitution are short. `help(flows.maf)` names other
#    inverses: which is fastest there?
