"""Continuous flows: what the trace of the Jacobian costs as d grows, here and in zuko.

    python -m benchmarks.continuous

times density, gradient (of the mean negative log-likelihood, with respect to all parameters) and
sampling of a continuous normalizing flow with two hidden layers, solved to the same tolerance, with
five traces of its Jacobian:

- exact: the closed form of `flows.mlp_field`, one more product of H×H matrices than the field;
- exact by autodiff: d derivatives of the field, as for a field of unknown form;
- hutchinson: Hutchinson's estimate, one derivative (`flows.ffjord` with a key);
- zuko, and zuko hutchinson: the same in zuko, if it is installed. FlowJAX has no such flow.

All parameters are drawn from the same distribution, so that the fields are comparable;
`evaluations` is the number of evaluations of our field. It takes two to four minutes on two CPU
cores. Times drift on a shared machine: only ratios within one run mean anything.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Literal

import jax
import numpy as np

from benchmarks import passes, peers
from dgm_jax import bijectors, checks, combinators, distributions, flows, measure, plots, runs
from dgm_jax.measure import timing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Array, Density, Key

Trace = Literal["exact", "exact by autodiff", "hutchinson", "zuko", "zuko hutchinson"]


@dataclasses.dataclass(frozen=True)
class Config(runs.ReportOptions):
    traces: tuple[Trace, ...] = (
        "exact",
        "exact by autodiff",
        "hutchinson",
        "zuko",
        "zuko hutchinson",
    )
    """the traces to compare; ratios are to the first, which must be one of ours"""
    dims: tuple[int, ...] = (2, 8, 64)
    """the dimensions d"""
    batch: int = 256
    """examples per call"""
    hidden: tuple[int, ...] = (64, 64)
    """widths of the hidden layers of the field"""
    tolerance: float = 1e-5
    """the relative and absolute tolerance of the solver"""
    repeats: int = 5
    """rounds of timing; in each, all calls are made in turn"""
    min_seconds: float = 3.0
    """the least duration of all rounds, in seconds, for each d"""


WAYS = ("density", "gradient", "sample")


def build(config: Config, dim: int, trace: str) -> tuple:
    """The density, and the key of its log-determinant (None if that is exact)."""
    solver = bijectors.ode_solver(rtol=config.tolerance, atol=config.tolerance)
    field = flows.mlp_field(dim, hidden=config.hidden)
    if trace == "exact by autodiff":
        field = field._replace(divergence=bijectors.divergence_by_autodiff(field.velocity))
    noise = "rademacher" if trace == "hutchinson" else None
    flow = flows.neural_ode(field, dim, noise=noise, solver=solver)
    key = jax.random.key(2) if trace == "hutchinson" else None
    return combinators.pushforward(flow, distributions.standard_normal(dim)), key


def parameters(model: Density, key: Key) -> dict:
    """Parameters uniform on ±1/√fan_in, the default of torch; a new field of ours would be 0."""
    params = model.init(jax.random.clone(key))

    def draw(key, leaf, fan_in):
        return jax.random.uniform(key, leaf.shape, minval=-1, maxval=1) / np.sqrt(fan_in)

    layers = []
    for layer, layer_key in zip(params["flow"], jax.random.split(key, len(params["flow"]))):
        fan_in = sum(layer[name].shape[0] for name in ("kernel", "context"))
        keys = jax.random.split(layer_key, len(layer))
        layers.append({n: draw(k, layer[n], fan_in) for n, k in zip(layer, keys)})
    return {"base": {}, "flow": layers}


def ours(config: Config, trace: str, x: Array) -> tuple:
    """A `Peer`, and the number of evaluations of the field for a density."""
    model, trace_key = build(config, x.shape[1], trace)
    params = parameters(model, jax.random.key(0))

    def dist(params):
        key = None if trace_key is None else jax.random.clone(trace_key)
        return model.dist(params, key=key)

    def log_prob(params, x):
        return dist(params).log_prob(x)

    peer = peers.jax_peer(
        params,
        log_prob,
        lambda params, key: dist(params).sample(seed=key, sample_shape=len(x)),
        lambda params, x: dist(params).bijector.forward(dist(params).bijector.inverse(x)),
        x,
    )
    path = jax.jit(lambda params, x: dist(params).bijector.inverse_path(x))
    evaluations = int(path(params, x).num_evals) if trace != "exact by autodiff" else None
    return peer, evaluations


def zuko(config: Config, trace: str, x: Array) -> peers.Peer:
    """zuko's CNF of the same widths and tolerance, with tanh and the initial weights of torch."""
    import torch
    import zuko

    torch.manual_seed(0)
    flow = zuko.flows.CNF(
        x.shape[1],
        exact=trace == "zuko",
        atol=config.tolerance,
        rtol=config.tolerance,
        hidden_features=config.hidden,
        activation=torch.nn.Tanh,
    )

    def there_and_back(x):
        to_noise = flow().transform
        return to_noise.inv(to_noise(x))

    return peers.torch_peer(
        flow, lambda x: flow().log_prob(x), lambda n: flow().sample((n,)), there_and_back, x
    )


def contestants(config: Config, dim: int) -> tuple[dict[str, peers.Peer], dict[str, int], dict]:
    """({trace: Peer}, {trace: number of evaluations}, {trace: why it is left out})."""
    x = jax.random.normal(jax.random.key(1), (config.batch, dim))
    found, evaluations, missing = {}, {}, {}
    for trace in config.traces:
        if not trace.startswith("zuko"):
            found[trace], evaluations[trace] = ours(config, trace, x)
            continue
        try:
            found[trace] = zuko(config, trace, x)
        except ImportError:
            missing[trace] = "is not installed"
    return found, evaluations, missing


def rows_of(config: Config, dim: int) -> tuple[list[dict], dict]:
    """A row for each trace and way at one d, and {trace: why it is left out}."""
    found, evaluations, missing = contestants(config, dim)
    x = np.asarray(jax.random.normal(jax.random.key(1), (config.batch, dim)))
    trips = {trace: float(np.abs(peer.round_trip() - x).max()) for trace, peer in found.items()}
    thunks = {(trace, way): getattr(peer, way) for trace, peer in found.items() for way in WAYS}
    timed = timing.compare(thunks, repeats=config.repeats, min_seconds=config.min_seconds)
    rows = [
        {
            "dim": dim,
            "batch": config.batch,
            "trace": trace,
            "way": way,
            "ms": result.median_ms,
            "low_ms": result.low_ms,
            "high_ms": result.high_ms,
            "first_call_s": result.first_call_s,
            "to_exact": result.median_ms / timed[config.traces[0], way].median_ms,
            "evaluations": evaluations.get(trace),
            "params": found[trace].num_params,
            "round_trip": trips[trace],
        }
        for (trace, way), result in timed.items()
    ]
    return rows, missing


def main(config: Config) -> dict:
    for dim in config.dims:
        checks.positive_int(dim, "each of dims")
    checks.positive_int(config.batch, "batch")
    checks.positive(config.tolerance, "tolerance")
    if not config.traces or config.traces[0].startswith("zuko"):
        raise checks.InputError(
            f"traces must begin with one of ours, the unit of the ratios; got {config.traces}."
        )
    machine, rows, left_out = measure.machine(), [], {}
    for dim in sorted(config.dims):
        more, missing = rows_of(config, dim)
        rows, left_out = rows + more, left_out | missing
        print(f"d = {dim} is done")
    machine |= peers.versions(("zuko",)) | {"hidden": config.hidden, "tolerance": config.tolerance}
    return {"rows": rows, "machine": machine | {"left_out": left_out}}


def tables(found: dict) -> list[list]:
    """Times, and their ratios to the first trace; the first call includes compilation."""
    lines = {}
    for r in found["rows"]:
        line = lines.setdefault(
            (r["dim"], r["trace"]),
            {
                "d": r["dim"],
                "trace": r["trace"],
                "evaluations": r["evaluations"],
                "round trip": f"{r['round_trip']:.0e}",
            },
        )
        line[f"{r['way']} ms"] = runs.short(r["ms"])
        line[f"{r['way']} ratio"] = f"{r['to_exact']:.2g}"
        line[f"{r['way']} first call s"] = f"{r['first_call_s']:.1f}"
    return [list(lines.values())]


def draw(config: Config, found: dict) -> Figure:
    """The time of a density against d, with a line for each trace."""
    lines = {}
    for r in found["rows"]:
        if r["way"] == "density":
            dims, values = lines.setdefault(r["trace"], ([], []))
            dims.append(r["dim"])
            values.append(r["ms"])
    figure = plots.curves(
        lines,
        xlabel="dimension d",
        ylabel=f"milliseconds for {config.batch} examples",
        logx=True,
        logy=True,
        title="Density of a continuous flow, by the trace of its Jacobian",
    )
    passes.mark(figure, sorted(config.dims))
    return figure


if __name__ == "__main__":
    runs.benchmark(Config, main, tables, draw, save=plots.save, minutes=4)
