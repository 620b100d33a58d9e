"""The same flows in other libraries, with the same sizes, in one interleaved run.

    python -m benchmarks.peers

times density, gradient (of the mean negative log-likelihood, with respect to all parameters) and
sampling of MAF, IAF and RealNVP (`--models nsf_ar nsf_c`: with splines of 8 bins), here and in
every library of `.[peers]` and `.[peers-torch]` that is installed: flowjax, numpyro, bijx, distrax,
zuko, nflows, normflows. A library is included if it can build the model and satisfies T(T⁻¹(x)) =
x. The table shows its number of parameters relative to ours, with a * if they differ by more than 3
%, since another size has another cost. Ratios are to the fastest of these libraries.

Other libraries invert an autoregressive flow by d passes. Calls that would take longer than
--longest-call are left out, and named; other calls of d passes are timed once, after the fast ones.
It takes a quarter of an hour on two cores.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import os
from collections.abc import Callable
from importlib import metadata
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import passes
from dgm_jax import checks, measure, nets, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Array, Key, Params

Model = Literal["maf", "iaf", "realnvp", "nsf_ar", "nsf_c"]
Library = Literal["flowjax", "numpyro", "bijx", "distrax", "zuko", "nflows", "normflows"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    models: tuple[Model, ...] = ("maf", "iaf", "realnvp")
    """which flows to time; nsf_ar and nsf_c are MAF and RealNVP with splines of 8 bins"""
    libraries: tuple[Library, ...] = (
        "flowjax",
        "numpyro",
        "bijx",
        "distrax",
        "zuko",
        "nflows",
        "normflows",
    )
    """the libraries to compare; those that are not installed are left out"""
    dims: tuple[int, ...] = (64, 256, 784)
    """the dimensions d"""
    batch: int = 256
    """examples per call"""
    inverse: tuple[str, ...] = ()
    """our ways to invert an autoregression; by default all but the naive one"""
    num_layers: int = 5
    """autoregressive layers; RealNVP has twice as many couplings"""
    hidden: tuple[int, ...] = (512, 512)
    """widths of the hidden layers of each conditioner; all equal, as some libraries require"""
    longest_call: float = 30.0
    """a call of d passes that would take more than this many seconds is left out"""
    repeats: int = 10
    """rounds of timing; in each, all fast calls are made in turn"""
    min_seconds: float = 3.0
    """the least duration of all rounds, in seconds, for each model and d"""


WAYS = ("density", "gradient", "sample")
BOUND = 3.0  # of splines, where a library lets it be said
SAME_SIZE = 0.03  # parameters, relative: peers differ in biases, base and transformer constants


class Peer(NamedTuple):
    """One model of one library with its data: three calls to time, and two facts to check."""

    density: Callable[[], Any]
    gradient: Callable[[], Any]
    sample: Callable[[], Any]
    round_trip: Callable[[], Any]  # T(T⁻¹(x)), which must be x
    num_params: int


# ------------------------------------------------------------------------------- JAX libraries
def jax_peer(
    params: Params, log_prob: Callable, sample: Callable, round_trip: Callable, x: Array
) -> Peer:
    """A `Peer` from functions of JAX, compiled at first use.

    log_prob(params, x), sample(params, key), round_trip(params, x).
    """
    key = jax.random.key(1)
    density, draw, back = jax.jit(log_prob), jax.jit(sample), jax.jit(round_trip)
    gradient = jax.jit(jax.grad(lambda params, x: -log_prob(params, x).mean()))
    return Peer(
        lambda: density(params, x),
        lambda: gradient(params, x),
        lambda: draw(params, key),
        lambda: back(params, x),
        sum(np.size(leaf) for leaf in jax.tree.leaves(params)),
    )


def ours(name: str, config: Config, x: Array, key: Key, inverse: str) -> Peer:
    """Our model, with layers unrolled or scanned for each way as `passes.unrolled` says."""
    # Without the direct connections that our MADE adds to narrow layers, and no peer has.
    options: dict[str, Any] = {} if name in passes.COUPLINGS else {"direct": False}
    options |= {"num_layers": config.num_layers, "hidden": config.hidden}

    def build(way):
        unroll = passes.unrolled(name, way, x.shape[1])
        return passes.build(name, x.shape[1], inverse, unroll=unroll, **options)

    params = passes.parameters(build("density"), key)  # the same for all calls, as elsewhere

    def peer(way):
        model = build(way)
        bijector = lambda params: model.dist(params).bijector
        return jax_peer(
            params,
            lambda params, x: model.dist(params).log_prob(x),
            lambda params, key: model.dist(params).sample(seed=key, sample_shape=len(x)),
            lambda params, x: bijector(params).forward(bijector(params).inverse(x)),
            x,
        )

    peers = {way: peer(way) for way in WAYS}
    return peers["density"]._replace(
        gradient=peers["gradient"].gradient, sample=peers["sample"].sample
    )


def flowjax(name: str, config: Config, x: Array, key: Key) -> Peer:
    """flowjax's masked autoregressive and coupling flows, affine or with splines."""
    import equinox as eqx
    from flowjax import bijections, distributions, flows

    options: dict[str, Any] = dict(
        base_dist=distributions.Normal(jnp.zeros(x.shape[1])),
        nn_width=config.hidden[0],
        nn_depth=len(config.hidden),
    )
    if "nsf" in name:
        options["transformer"] = bijections.RationalQuadraticSpline(
            knots=passes.NUM_BINS - 1,
            interval=BOUND,  # the inner ones
        )
    if name in passes.COUPLINGS:
        flow = flows.coupling_flow(key, flow_layers=2 * config.num_layers, **options)
    else:
        flow = flows.masked_autoregressive_flow(
            key, flow_layers=config.num_layers, invert=name != "iaf", **options
        )
    params, static = eqx.partition(flow, eqx.is_inexact_array)

    def there_and_back(params, x):
        from paramax import unwrap

        bijection = unwrap(eqx.combine(params, static)).bijection
        return jax.vmap(lambda x: bijection.transform(bijection.inverse(x)))(x)

    return jax_peer(
        params,
        lambda params, x: eqx.combine(params, static).log_prob(x),
        lambda params, key: eqx.combine(params, static).sample(key, (len(x),)),
        there_and_back,
        x,
    )


def numpyro(name: str, config: Config, x: Array, key: Key) -> Peer:
    """numpyro's affine inverse autoregressive layers, between which the entries are reversed."""
    from numpyro import distributions
    from numpyro.distributions import transforms
    from numpyro.distributions.flows import InverseAutoregressiveTransform
    from numpyro.nn import AutoregressiveNN

    if name in passes.COUPLINGS:
        raise NotImplementedError("has no coupling flow")
    if name == "nsf_ar":
        raise NotImplementedError("has affine autoregressive flows only")
    dim = x.shape[1]
    if min(config.hidden) < dim:
        raise NotImplementedError("wants hidden layers of at least d units")
    init, apply = AutoregressiveNN(dim, list(config.hidden))
    keys = jax.random.split(key, config.num_layers)
    params = [init(k, (dim,))[1] for k in keys]

    def distribution(params):
        chain = []
        for p in params:
            layer = InverseAutoregressiveTransform(lambda x, p=p: apply(p, x))
            chain += [
                layer.inv if name == "maf" else layer,
                transforms.PermuteTransform(jnp.arange(dim)[::-1]),
            ]
        base = distributions.Normal(jnp.zeros(dim), 1.0).to_event(1)
        return distributions.TransformedDistribution(base, chain)

    def there_and_back(params, x):
        chain = transforms.ComposeTransform(distribution(params).transforms)
        return chain(chain.inv(x))

    return jax_peer(
        params,
        lambda params, x: distribution(params).log_prob(x),
        lambda params, key: distribution(params).sample(key, (len(x),)),
        there_and_back,
        x,
    )


def bijx(name: str, config: Config, x: Array, key: Key) -> Peer:
    """bijx's coupling layers by a checkerboard, affine or with splines."""
    import bijx
    from flax import nnx

    if name not in passes.COUPLINGS:
        raise NotImplementedError("has no autoregressive flow")
    dim, rngs = x.shape[1], nnx.Rngs(0)
    layers, mask = [], bijx.checker_mask((dim,), True)
    for _ in range(2 * config.num_layers):
        law = bijx.AffineLinear(rngs=rngs)
        if name == "nsf_c":
            law = bijx.MonotoneRQSpline(passes.NUM_BINS, (), rngs=rngs)
        template = bijx.ModuleReconstructor(law)
        moved, kept = mask.counts
        k = template.params_total_size
        net = bijx.nn.nets.MLP(
            kept, moved * k, list(config.hidden), activation=jax.nn.relu, rngs=rngs
        )
        by_entry = lambda p, moved=moved, k=k: p.reshape(*p.shape[:-1], moved, k)
        conditioner = nnx.Sequential(net, by_entry)
        layers.append(bijx.GeneralCouplingLayer(conditioner, mask, template))
        mask = ~mask
    flow = bijx.Transformed(bijx.IndependentNormal((dim,)), bijx.Chain(*layers))
    graph, params, rest = nnx.split(flow, nnx.Param, ...)

    def there_and_back(params, x):
        chain, zero = nnx.merge(graph, params, rest).bijection, jnp.zeros(len(x))
        return chain.forward(chain.reverse(x, zero)[0], zero)[0]

    return jax_peer(
        params,
        lambda params, x: nnx.merge(graph, params, rest).log_density(x),
        lambda params, key: nnx.merge(graph, params, rest).sample((len(x),), rng=key)[0],
        there_and_back,
        x,
    )


def distrax(name: str, config: Config, x: Array, key: Key) -> Peer:
    """Masked couplings, not split ones: their conditioners read and write all d coordinates."""
    import distrax

    if name not in passes.COUPLINGS:
        raise NotImplementedError("has no autoregressive flow")
    if name == "nsf_c":
        raise NotImplementedError("is compared with affine couplings only")
    dim = x.shape[1]
    net = nets.mlp(dim, 2 * dim, hidden=config.hidden, activation=jax.nn.relu)
    params = [net.init(k) for k in jax.random.split(key, 2 * config.num_layers)]

    def scalar(c):
        return distrax.ScalarAffine(c[..., 0], log_scale=jnp.tanh(c[..., 1]))

    def distribution(params):
        chain = []
        for i, p in enumerate(params):
            mask = np.arange(dim) % 2 == i % 2

            def conditioner(x, p=p):
                return net.apply(p, x).reshape(*x.shape[:-1], dim, 2)

            chain.append(distrax.MaskedCoupling(mask, conditioner, scalar))
        base = distrax.MultivariateNormalDiag(jnp.zeros(dim), jnp.ones(dim))
        return distrax.Transformed(base, distrax.Chain(chain))

    def there_and_back(params, x):
        chain = distribution(params).bijector
        return chain.forward(chain.inverse(x))

    return jax_peer(
        params,
        lambda params, x: distribution(params).log_prob(x),
        lambda params, key: distribution(params).sample(seed=key, sample_shape=len(x)),
        there_and_back,
        x,
    )


# ----------------------------------------------------------------------------- torch libraries
def torch_peer(
    module: Any, log_prob: Callable, sample: Callable, round_trip: Callable, x: Array
) -> Peer:
    """A `Peer` from functions of torch: log_prob(x), sample(number), round_trip(x).

    They get torch's own copy of x, and use all cores of this process.
    """
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x = torch.tensor(np.asarray(x))

    def gradient():
        module.zero_grad(set_to_none=True)
        (-log_prob(x).mean()).backward()

    def quietly(call):
        with torch.no_grad():
            return call()

    return Peer(
        lambda: quietly(lambda: log_prob(x)),
        gradient,
        lambda: quietly(lambda: sample(len(x))),
        lambda: quietly(lambda: round_trip(x).numpy()),
        sum(p.numel() for p in module.parameters()),
    )


def zuko(name: str, config: Config, x: Array, key: Key) -> Peer:
    """zuko's MAF, NSF and RealNVP; for IAF its MAF, inverted."""
    import zuko

    dim = x.shape[1]
    if name in passes.COUPLINGS:
        if name == "nsf_c":
            raise NotImplementedError("has spline couplings only as masked autoregressions")
        flow = zuko.flows.RealNVP(
            dim, transforms=2 * config.num_layers, hidden_features=config.hidden
        )
    else:
        make = zuko.flows.NSF if name == "nsf_ar" else zuko.flows.MAF
        flow = make(dim, transforms=config.num_layers, hidden_features=config.hidden)
    if name == "iaf":
        flow = zuko.lazy.Flow(flow.transform.inv, flow.base)

    def there_and_back(x):
        to_noise = flow().transform
        return to_noise.inv(to_noise(x))

    return torch_peer(
        flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)), there_and_back, x
    )


def nflows(name: str, config: Config, x: Array, key: Key) -> Peer:
    """nflows's autoregressive and coupling flows, affine or with splines; for IAF MAF inverted."""
    import torch
    from nflows import transforms
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow, MaskedAutoregressiveFlow
    from nflows.nn.nets import MLP

    dim = x.shape[1]
    spline = dict(num_bins=passes.NUM_BINS, tails="linear", tail_bound=BOUND)
    if name in passes.COUPLINGS:

        class Conditioner(MLP):
            def forward(self, inputs, context=None):
                return super().forward(inputs)

        make = transforms.AffineCouplingTransform
        if name == "nsf_c":
            spline_transform = transforms.PiecewiseRationalQuadraticCouplingTransform
            make = functools.partial(spline_transform, **spline)
        layers = [
            make(
                torch.where(torch.arange(dim) % 2 == i % 2, -1, 1),
                lambda inputs, outputs: Conditioner([inputs], [outputs], config.hidden),
            )
            for i in range(2 * config.num_layers)
        ]
        transform = transforms.CompositeTransform(layers)
    elif name == "nsf_ar":
        layers = []
        for _ in range(config.num_layers):
            layers += [
                transforms.MaskedPiecewiseRationalQuadraticAutoregressiveTransform(
                    dim,
                    config.hidden[0],
                    num_blocks=len(config.hidden) - 1,
                    use_residual_blocks=False,
                    **spline,
                ),
                transforms.ReversePermutation(dim),
            ]
        transform = transforms.CompositeTransform(layers)
    else:
        transform = MaskedAutoregressiveFlow(
            dim,
            config.hidden[0],
            config.num_layers,
            len(config.hidden) - 1,
            use_residual_blocks=False,
        )._transform
    if name == "iaf":
        transform = transforms.InverseTransform(transform)
    flow = Flow(transform, StandardNormal([dim]))

    def there_and_back(x):
        return transform.inverse(transform(x)[0])[0]

    return torch_peer(flow, flow.log_prob, flow.sample, there_and_back, x)


def normflows(name: str, config: Config, x: Array, key: Key) -> Peer:
    """normflows's affine autoregressive and coupling layers."""
    import normflows as nf

    dim, layers = x.shape[1], []
    if "nsf" in name:
        raise NotImplementedError("has splines with residual conditioners only")
    if name == "realnvp" and dim % 2:
        raise NotImplementedError("wants an even d for couplings")
    for _ in range(config.num_layers * (2 if name == "realnvp" else 1)):
        if name == "realnvp":
            net = nf.nets.MLP([dim // 2, *config.hidden, dim])
            layers += [nf.flows.AffineCouplingBlock(net), nf.flows.Permute(dim, mode="swap")]
        else:
            layer = nf.flows.MaskedAffineAutoregressive(
                dim, config.hidden[0], num_blocks=len(config.hidden) - 1, use_residual_blocks=False
            )
            layers += [
                nf.flows.Reverse(layer) if name == "maf" else layer,
                nf.flows.Permute(dim, mode="shuffle"),
            ]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(dim, trainable=False), layers)
    return torch_peer(
        flow, flow.log_prob, lambda n: flow.sample(n)[0], lambda x: flow.forward(flow.inverse(x)), x
    )


LIBRARIES = {f.__name__: f for f in (flowjax, numpyro, bijx, distrax, zuko, nflows, normflows)}


# ----------------------------------------------------------------------------------- the run
def contestants(config: Config, name: str, dim: int, batch: int) -> tuple[dict[str, Peer], dict]:
    """({library: Peer}, ours first, and {library: why it is left out})."""
    key = jax.random.key(0)
    x = jax.random.normal(key, (batch, dim))
    found, missing = {}, {}
    for inverse in our_inverses(config, name):
        label = f"dgm_jax {inverse}".strip()
        found[label] = ours(name, config, x, key, inverse)
    for library in config.libraries:
        try:
            found[library] = LIBRARIES[library](name, config, x, key)
        except ImportError:
            missing[library] = "is not installed"
        except NotImplementedError as reason:
            missing[library] = str(reason)
    return found, missing


def our_inverses(config: Config, name: str) -> tuple[str, ...]:
    """The inverses under which our model is timed; couplings have one, without a name."""
    if name in passes.COUPLINGS:
        return ("",)
    return config.inverse or tuple(i for i in nets.INVERSES if i != "naive")


def round_trips(config: Config, name: str) -> dict[str, float]:
    """max |T(T⁻¹(x)) - x| of each library at a small d, where d passes are cheap."""
    dim = min(8, *config.hidden)
    found, _ = contestants(config, name, dim + dim % 2, 16)
    x = np.asarray(jax.random.normal(jax.random.key(0), (16, dim + dim % 2)))
    return {library: float(np.abs(peer.round_trip() - x).max()) for library, peer in found.items()}


def measurements(config: Config, name: str, dim: int, peers: dict[str, Peer]) -> dict:
    """{(library, way): Timing}, without calls of d passes that would take too long."""
    thunks = {(library, way): getattr(p, way) for library, p in peers.items() for way in WAYS}
    for library in list(peers)[1:]:  # our inverses differ in the sequential direction only
        for way in WAYS if library.startswith("dgm_jax") else ():
            if way not in passes.SEQUENTIAL[name]:
                del thunks[library, way]

    def is_slow(library, way):
        return way in passes.SEQUENTIAL[name] and (
            not library.startswith("dgm_jax") or "naive" in library
        )

    fast = {what: thunk for what, thunk in thunks.items() if not is_slow(*what)}
    timed = timing.compare(fast, repeats=config.repeats, min_seconds=config.min_seconds)
    one_pass = "density" if name == "maf" else "sample"
    slow = {}
    for library, way in thunks.keys() - fast.keys():
        pass_ms = timed[library if (library, one_pass) in timed else next(iter(peers)), one_pass]
        expected = dim * pass_ms.median_ms / 1e3 * (3 if way == "gradient" else 1)
        if expected <= config.longest_call:
            slow[library, way] = thunks[library, way]
    return timed | (timing.compare(slow, repeats=1, warm_up=False) if slow else {})


def rows_of(
    name: str,
    dim: int,
    config: Config,
    peers: dict[str, Peer],
    timed: dict,
    trips: dict[str, float],
) -> list[dict]:
    """One row for each library and way; calls that were left out have no time."""
    size, rows = next(iter(peers.values())).num_params, []
    for way in WAYS:
        rivals = [
            timed[library, way].median_ms
            for library in peers
            if (library, way) in timed and not library.startswith("dgm_jax")
        ]
        for library, peer in peers.items():
            result = timed.get((library, way))
            if result is None and library.startswith("dgm_jax"):
                continue  # timed under our first inverse, or longer than allowed
            rows.append(
                {
                    "model": name,
                    "dim": dim,
                    "batch": config.batch,
                    "way": way,
                    "library": library,
                    "ms": result and result.median_ms,
                    "low_ms": result and result.low_ms,
                    "high_ms": result and result.high_ms,
                    "to_fastest_peer": result.median_ms / min(rivals)
                    if result and rivals
                    else None,
                    "first_call_s": result and result.first_call_s,
                    "params": peer.num_params,
                    "params_ratio": peer.num_params / size,
                    "same_size": abs(peer.num_params / size - 1) <= SAME_SIZE,
                    "round_trip": trips[library],
                }
            )
    return rows


def main(config: Config) -> dict:
    # Waiting threads of torch must not spin: they would slow down the call that is timed next.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported
    for dim in config.dims:
        checks.positive_int(dim, "each of dims", least=2)
    checks.widths(config.hidden)
    if len(set(config.hidden)) != 1 or len(config.hidden) < 2:
        raise checks.InputError(f"hidden must be two or more equal widths; got {config.hidden}.")
    for inverse in config.inverse:
        checks.choice(inverse, nets.INVERSES, "inverse")
    machine, rows, left_out = measure.machine(), [], {}
    for name in config.models:
        trips = round_trips(config, name)
        for dim in config.dims:
            peers, missing = contestants(config, name, dim, config.batch)
            wrong = {library for library in peers if not trips[library] < 1e-3}
            missing |= {library: f"round trip {trips[library]:.1e} at d = 8" for library in wrong}
            peers = {library: peer for library, peer in peers.items() if library not in wrong}
            left_out |= {f"{name} {dim} {library}": why for library, why in missing.items()}
            timed = measurements(config, name, dim, peers)
            rows += rows_of(name, dim, config, peers, timed, trips)
            print(f"{name}, d = {dim} is done")
    machine |= versions(config.libraries) | {"left_out": left_out}
    return {"rows": rows, "machine": machine}


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """{library: version} of these libraries and of torch, where they are installed."""
    found = {}
    for library in (*libraries, "torch"):
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            pass
    return found


def tables(found: dict) -> list[list]:
    """Milliseconds by library, and the ratio of ours to the fastest other library."""
    lines = {}
    for r in found["rows"]:
        line = lines.setdefault(
            (r["model"], r["dim"], r["library"]),
            {
                "model": r["model"],
                "d": r["dim"],
                "library": r["library"],
                "params": f"{r['params_ratio']:.2f}{'' if r['same_size'] else '*'}",
                "round trip": f"{r['round_trip']:.0e}",
            },
        )
        line[f"{r['way']} ms"] = r["ms"] and runs.short(r["ms"])
        ratio = r["to_fastest_peer"]
        line[f"{r['way']} / fastest peer"] = ratio and f"{ratio:.2g}"
    # Each model and d: ours first.
    places = {where: i for i, where in enumerate(dict.fromkeys(what[:2] for what in lines))}
    order = sorted(lines, key=lambda w: (places[w[:2]], not w[2].startswith("dgm_jax")))
    return [[lines[what] for what in order]]


def draw(config: Config, found: dict) -> Figure:
    """Sampling (or the slow direction) of the first model against d, a line for each library."""
    name = config.models[0]
    way = (*passes.SEQUENTIAL[name], "sample")[0]
    lines = {}
    for r in found["rows"]:
        if (r["model"], r["way"]) == (name, way) and r["ms"]:
            dims, values = lines.setdefault(r["library"], ([], []))
            dims.append(r["dim"])
            values.append(r["ms"])
    own = [library for library in lines if library.startswith("dgm_jax")]
    colours = dict.fromkeys(lines, plots.INK) | dict(zip(own, plots.COLOURS))
    figure = plots.curves(
        lines,
        xlabel="dimension d",
        ylabel=f"milliseconds for {config.batch} examples",
        logx=True,
        logy=True,
        colours=colours,
        title=f"{name.upper()}, {way.replace('sample', 'sampling')}: here and in other libraries",
    )
    passes.mark(figure, sorted(config.dims))
    return figure


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=15)
