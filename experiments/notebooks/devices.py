# %% [markdown]
# # Many devices, on one CPU
#
# The same program runs on one device, on eight accelerators, or here on four pieces of a CPU. A
# batch is cut into equal parts, each device computes the gradient of its own, and one all-reduce
# joins them. Since a mean of means of equal parts is the mean,
#
# $$\nabla \frac{1}{B} \sum_{n=1}^{B} \ell(x_n)
#   = \frac{1}{D} \sum_{d=1}^{D} \nabla \frac{D}{B} \sum_{n \in \text{part } d} \ell(x_n),$$
#
# the layout changes nothing but the time.

# %%
import jax
import optax

from dgm_jax import combinators, data, distributions, flows, learning, objectives, plots
from dgm_jax.measure import machine, timing

if jax.config.jax_num_cpu_devices < 4:
    jax.config.update("jax_num_cpu_devices", 4)  # before anything is computed
print(jax.devices()[:4], "on", machine()["cores"], "core(s)")
devices = lambda count: "1 device" if count == 1 else f"{count} devices"

# %% [markdown]
# ## An oracle
#
# The loss and the gradient on four devices are those on one, up to the order of a sum.

# %%
dim = 64  # quick: 8
model = combinators.pushforward(
    flows.maf(dim, hidden=(128, 128)), distributions.standard_normal(dim)
)
gradient = jax.jit(jax.value_and_grad(lambda p, x: objectives.nll(model, p, None, x)[0]))
keys = iter(jax.random.split(jax.random.key(3), 1000))
params = model.init(jax.random.key(0))
params = jax.tree.map(lambda a: a + 0.01 * jax.random.normal(next(keys), a.shape), params)
x = jax.random.normal(jax.random.key(1), (256, dim))
found = {}
for count in (1, 2, 4):
    mesh = learning.data_mesh(count)
    there = learning.replicate(params, mesh), learning.shard_batch(x, mesh)
    found[count] = gradient(*there)
    print(
        f"{devices(count)}: each has {there[1].addressable_shards[0].data.shape[0]} rows,", end=" "
    )
    print(f"loss {found[count][0]:.6f}")
largest = lambda a, b: max(
    jax.tree.leaves(
        jax.tree.map(lambda u, v: float(abs(jax.device_get(u) - jax.device_get(v)).max()), a, b)
    )
)
print("largest difference of the gradients:", largest(found[1][1], found[4][1]))

# %% [markdown]
# ## A run
#
# `train(mesh=...)` does this for any algorithm. Random bits do not depend on the layout, so a run
# that was begun on one may go on on another. Two runs differ by rounding at first, and training
# amplifies that, as it does any small change of the parameters; both learn the same.

# %%
num_steps = 400  # quick: 5
toy = data.moons()
moons = combinators.pushforward(flows.maf(2, hidden=(64, 64)), distributions.standard_normal(2))
draw = jax.jit(lambda step: toy.sample(jax.random.key(step), 256))
curves = {}
for count in (1, 4):
    trained = learning.train(
        learning.gradient_descent(
            moons.init, lambda p, key, x: objectives.nll(moons, p, key, x), optax.adam(2e-3)
        ),
        jax.random.key(2),
        draw,
        num_steps=num_steps,
        mesh=learning.data_mesh(count),
        log_every=max(num_steps // 40, 1),
        progress=False,
    )
    curves[devices(count)] = (
        [row["step"] for row in trained.history],
        [row["loss"] for row in trained.history],
    )
apart = max(abs(a - b) for a, b in zip(curves["1 device"][1], curves["4 devices"][1]))
print(f"largest difference of the logged losses: {apart:.1e} nats")

# %%
plots.curves(curves, xlabel="step", ylabel="loss, nats", baselines={"entropy": toy.entropy})

# %% [markdown]
# ## Sampling and scoring
#
# `over_devices` compiles a function as `jax.jit` does, and shares its rows among the devices, also
# where their number does not divide. Samples from one key are the same on any number of devices.

# %%
score = lambda p, x: model.dist(p).log_prob(x)
rows_of = lambda p, key: model.dist(p).sample(seed=key, sample_shape=99)
key, spread = jax.random.key(4), {}
for count in (1, 4):
    drawn = learning.over_devices(rows_of, num_devices=count)(params, key)
    spread[count] = drawn, learning.over_devices(score, num_devices=count)(params, drawn)
print("largest differences of 99 samples and of their log p:", end=" ")
print(*(f"{abs(a - b).max():.0e}" for a, b in zip(spread[1], spread[4])))

# %% [markdown]
# ## Is it faster?
#
# On accelerators, as long as a device has enough rows. On a CPU it depends: one device uses all
# cores inside a large product already, and with several the cores work side by side on whole
# rows. What comes in small steps, such as sampling by substitution, gains, and so does training
# with convolutions or attention, which use each parameter many times in a step. Gradients of dense
# layers lose. `learning.training_mesh(algorithm, batch)` counts, and chooses for `train(mesh=...)`.
# All of that needs a core for each device: on one core, as the first cell may have told, the
# picture shows what cutting a batch costs.

# %%
sample = jax.jit(lambda p, z: model.dist(p).bijector.forward(z))
thunks = {}
for count in (1, 2, 4):
    mesh = learning.data_mesh(count)
    p, z = learning.replicate(params, mesh), learning.shard_batch(x, mesh)
    thunks["sampling", count] = lambda p=p, z=z: sample(p, z)
    thunks["gradient", count] = lambda p=p, z=z: gradient(p, z)
timed = timing.compare(thunks, repeats=5)
plots.bars(
    {
        what: {devices(count): timed[what, count].median_ms for count in (1, 2, 4)}
        for what in ("sampling", "gradient")
    },
    ylabel="milliseconds",
)

# %% [markdown]
# ## Exercises
#
# 1. Give `train` a `workdir`, stop at half of the steps, and go on with another mesh. How far
#    apart are the losses from a run that was not stopped?
# 2. Which batch is large enough for four devices to win with the gradient on your machine?
# 3. Read how several machines share a run (README, "Many devices, many machines"), and say what
#    is sent over the network in one step of this MAF, in bytes.
