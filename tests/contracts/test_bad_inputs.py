"""Bad input meets one line that names argument, value and remedy, before anything is compiled.

Every call is traced and no more (`jax.eval_shape`), so a check that ran later would not run here.
"""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import flows, nets
from dgm_jax.autoregressive import Masks, made, transformer
from dgm_jax.bijectors import (
    Autoregressive,
    Coupling,
    FactorOut,
    Permutation,
    Scan,
    additive,
    affine,
    checkerboard,
    contraction,
    flatten,
    ode_solver,
    rational_quadratic_spline,
    squeeze,
)
from dgm_jax.combinators import (
    adapt,
    compose,
    conditional,
    encoded,
    factor_out,
    fixed,
    invert,
    latent_variable,
    pushforward,
    repeat,
)
from dgm_jax.distributions import standard_normal, uniform_noise
from dgm_jax.likelihoods import gaussian
from dgm_jax.objectives import bits_per_dim, mean_and_stderr, reverse_kl

H = {"hidden": (4,)}
TWO = {"hidden": (4,), "num_layers": 2}


def start(model):
    return model.init(jax.random.key(0))


def run(flow, method="forward", x=None, cond=None):
    x = jnp.ones(3) if x is None else x
    return getattr(flow.bijector(start(flow), cond), method)(x)


def density(make, x=None, cond=None):
    model = make()
    return model.dist(start(model), cond).log_prob(jnp.ones(3) if x is None else x)


def maf_density(**options):
    return pushforward(flows.maf(3, **TWO, **options), standard_normal(3))


def image_model(flow, **options):
    return flow((4, 4, 1), **{"hidden": 4, "num_blocks": 1} | options)


def adapted(model, x):
    return adapt(model, start(model), x)


INT, FOUR = np.ones((2, 3), int), jnp.ones((2, 4))
AUTOREGRESSIONS = {
    "autoregression": lambda dim=3, **o: flows.autoregression(dim, **H | o),
    "iaf": lambda dim=3, **o: flows.iaf(dim, **TWO | o),
    "maf": lambda dim=3, **o: flows.maf(dim, **TWO | o),
    "made": lambda dim=3, **o: nets.made(dim, **H | {"num_outputs": 2} | o),
}
COUPLINGS = {
    "coupling": lambda dim=3, **o: flows.coupling(dim, **H | o),
    "realnvp": lambda dim=3, **o: flows.realnvp(dim, **TWO | o),
}
FLOWS = {name: make for name, make in {**AUTOREGRESSIONS, **COUPLINGS}.items() if name != "made"}
GAUSSIAN = {"made": lambda dim=3, law=None, **o: made(dim, gaussian(law), **H | o)}

# name: (call, words of the message); ValueError all.
CASES = {}

for name, make in {**AUTOREGRESSIONS, **COUPLINGS, **GAUSSIAN}.items():
    CASES |= {
        f"{name}(0)": (lambda m=make: m(0), "dim", "at least", "0"),
        f"{name}(-2)": (lambda m=make: m(-2), "dim", "at least", "-2"),
        f"{name}(3.0)": (lambda m=make: m(3.0), "dim", "integer", "3.0"),
        f"{name}('3')": (lambda m=make: m("3"), "dim", "integer", "'3'"),
        f"{name}(True)": (lambda m=make: m(True), "dim", "integer", "True"),
        f"{name}(None)": (lambda m=make: m(None), "dim", "integer", "None"),
        f"{name}, hidden=64": (lambda m=make: m(hidden=64), "hidden", "(64, 64)", "got 64"),
        f"{name}, hidden=(0,)": (lambda m=make: m(hidden=(0,)), "hidden", "(0,)", "at least 1"),
        f"{name}, hidden=(4.0,)": (lambda m=make: m(hidden=(4.0,)), "hidden", "integer", "4.0"),
        f"{name}, hidden='64'": (lambda m=make: m(hidden="64"), "hidden", "sequence", "'64'"),
        f"{name}, hidden=None": (lambda m=make: m(hidden=None), "hidden", "sequence", "None"),
        f"{name}, cond_shape": (
            lambda m=make: m(cond_shape=(-1,)),
            "cond_shape",
            "at least 1",
            "-1",
        ),
        f"{name}, activation": (
            lambda m=make: m(activation="relu"),
            "activation",
            "function",
            "str",
        ),
    }

for name, make in {**AUTOREGRESSIONS, **GAUSSIAN}.items():
    CASES |= {
        f"{name}, hidden=()": (lambda m=make: m(hidden=()), "hidden", "at least one layer", "()"),
        f"{name}, order twice": (lambda m=make: m(order=[0, 0, 1]), "order", "0..2", "[0, 0, 1]"),
        f"{name}, order short": (lambda m=make: m(order=[1, 0]), "order", "0..2", "[1, 0]"),
        f"{name}, order from one": (lambda m=make: m(order=[1, 2, 3]), "order", "0..2"),
        f"{name}, order floats": (lambda m=make: m(order=[0.0, 1.0, 2.0]), "order", "integers"),
        f"{name}, order number": (lambda m=make: m(order=2), "order", "permutation", "got 2"),
    }

for name, make in AUTOREGRESSIONS.items():
    CASES |= {
        f"{name}, inverse": (
            lambda m=make: m(inverse="unit_one"),
            "inverse",
            "naive",
            "'unit_one'",
            "Did you mean 'unit_once'?",
        ),
        f"{name}, num_blocks=0": (lambda m=make: m(num_blocks=0), "num_blocks", "at least 1"),
        f"{name}, num_blocks=4": (lambda m=make: m(num_blocks=4), "num_blocks", "dim=3", "4"),
        f"{name}, density_blocks": (lambda m=make: m(density_blocks=4), "density_blocks", "dim=3"),
        f"{name}, tolerance": (lambda m=make: m(tolerance=-1.0), "tolerance", "at least 0", "-1.0"),
        f"{name}, residual": (
            lambda m=make: m(residual=True, hidden=(4, 4)),
            "hidden",
            "residual",
            "odd",
            "(4, 4)",
        ),
    }

for name, make in {**FLOWS, **GAUSSIAN}.items():
    CASES |= {
        f"{name}, law not called": (
            lambda m=make: m(law=affine),
            "law",
            "Law",
            "function",
            "affine(...)",
        ),
        f"{name}, law by name": (lambda m=make: m(law="affine"), "law", "Law", "str"),
    }

for name, make in FLOWS.items():
    for method in ("forward", "inverse", "forward_and_log_det", "inverse_and_log_det"):
        CASES |= {
            f"{name}.{method} of integers": (
                lambda m=make, way=method: run(m(), way, INT),
                "floating",
                "int",
                "Dequantize",
            ),
            f"{name}.{method} of another width": (
                lambda m=make, way=method: run(m(), way, FOUR),
                "[..., 3]",
                "(2, 4)",
            ),
            f"{name}.{method} of a list": (
                lambda m=make, way=method: run(m(), way, [1.0, 2.0, 3.0]),
                "array",
                "list",
            ),
        }
    CASES |= {
        f"{name}, cond missing": (
            lambda m=make: run(m(cond_shape=(2,))),
            "cond",
            "missing",
            "cond_shape=(2,)",
        ),
        f"{name}, cond extra": (
            lambda m=make: run(m(), cond=jnp.ones(2)),
            "cond",
            "unconditional",
            "cond_shape",
        ),
        f"{name}, cond of another width": (
            lambda m=make: run(m(cond_shape=(2,)), cond=jnp.ones((5, 3))),
            "cond",
            "[..., 2]",
            "(5, 3)",
        ),
        f"{name}, cond a list": (
            lambda m=make: run(m(cond_shape=(2,)), cond=[1.0, 2.0]),
            "cond",
            "array",
            "list",
        ),
    }

for name, make in COUPLINGS.items():
    CASES[f"{name}(1)"] = (lambda m=make: m(1), "dim", "2", "1")

for name, make in {k: v for k, v in FLOWS.items() if k in ("iaf", "maf", "realnvp")}.items():
    for bad in (0, -2, 2.0, None):
        CASES[f"{name}, num_layers={bad}"] = (
            lambda m=make, bad=bad: m(num_layers=bad),
            "num_layers",
            "at least",
            str(bad),
        )

MASKS = {
    "short": ([True, False], "3 booleans", "(2,)"),
    "floats": ([1.0, 0.0, 1.0], "3 booleans", "float64"),
    "integers": ([0, 1, 2], "3 booleans", "int64"),
    "all": ([True] * 3, "all the same"),
    "none": ([False] * 3, "all the same"),
    "a number": (1, "3 booleans", "()"),
}
for name, (bad, *words) in MASKS.items():
    CASES[f"coupling, mask {name}"] = (
        lambda bad=bad: flows.coupling(3, **H, mask=bad),
        "mask",
        *words,
    )

PLAIN = {
    "diagonal": flows.diagonal,
    "triangular": flows.triangular,
    "plu": flows.plu,
    "qr": flows.qr,
    "actnorm": flows.actnorm,
    "planar": flows.planar,
    "sylvester": flows.sylvester,
    "cdf": flows.cdf,
    "elementwise": lambda dim: flows.elementwise(dim, law=affine()),
}
for name, make in PLAIN.items():
    CASES |= {
        f"{name}(0)": (lambda m=make: m(0), "dim", "at least", "0"),
        f"{name}(3.0)": (lambda m=make: m(3.0), "dim", "integer", "3.0"),
        f"{name} of integers": (lambda m=make: run(m(3), "inverse", INT), "floating", "int"),
        f"{name} of another width": (
            lambda m=make: run(m(3), "forward", FOUR),
            "[..., 3]",
            "(2, 4)",
        ),
        f"{name} of a list": (lambda m=make: run(m(3), "forward", [1.0] * 3), "array", "list"),
    }

IMAGES = {"realnvp_image": flows.realnvp_image, "glow": flows.glow, "flow_pp": flows.flow_pp}
for name, make in IMAGES.items():
    CASES |= {
        f"{name}, shape of a vector": (lambda m=make: m((8, 8)), "shape", "channels", "(8, 8)"),
        f"{name}, shape 8": (lambda m=make: m(8), "shape", "channels", "got 8"),
        f"{name}, no channels": (lambda m=make: m((8, 8, 0)), "shape", "at least 1", "0"),
        f"{name}, odd": (lambda m=make: m((5, 5, 1)), "multiple", "(5, 5, 1)"),
        f"{name}, hidden": (lambda m=make: image_model(m, hidden=0), "hidden", "at least 1", "0"),
        f"{name}, num_blocks": (lambda m=make: image_model(m, num_blocks=-1), "num_blocks", "-1"),
        f"{name}, cond_shape": (
            lambda m=make: image_model(m, cond_shape=(-1,)),
            "cond_shape",
            "-1",
        ),
        f"{name}, dropout": (lambda m=make: image_model(m, dropout=1.5), "dropout", "[0, 1)"),
        f"{name} of vectors": (
            lambda m=make: run(image_model(m), "inverse", FOUR),
            "[..., 4, 4, 1]",
            "(2, 4)",
        ),
        f"{name} of integers": (
            lambda m=make: run(image_model(m), "inverse", np.ones((4, 4, 1), int)),
            "floating",
        ),
        f"{name}, noise of an image": (
            lambda m=make: run(image_model(m), "forward", jnp.ones((4, 4, 1))),
            "[..., ",
            "(4, 4,",
        ),
        f"{name}, cond missing": (
            lambda m=make: run(image_model(m, cond_shape=(2,)), x=jnp.ones(16)),
            "cond",
            "missing",
        ),
        f"{name}, cond extra": (
            lambda m=make: run(image_model(m), x=jnp.ones(16), cond=jnp.ones(2)),
            "unconditional",
        ),
        f"{name}, cond of another width": (
            lambda m=make: run(
                image_model(m, cond_shape=(2,)), x=jnp.ones(16), cond=jnp.ones((5, 3))
            ),
            "cond",
            "[..., 2]",
            "(5, 3)",
        ),
    }

mlp = nets.mlp(3, 2, hidden=(4,))
gaussian_made = made(3, gaussian(), **H)


class Normalised(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.BatchNorm(use_running_average=False)(x)


def linear(x):
    return x.sum(-1)


def kl_of_made(log_density, key=None, **options):
    key = jax.random.key(0) if key is None else key
    return reverse_kl(gaussian_made, start(gaussian_made), key, log_density, **options)


CONTINUOUS = {
    "cnf": lambda dim=3, **o: flows.cnf(dim, **H | o),
    "ffjord": lambda dim=3, **o: flows.ffjord(dim, **H | o),
}
CASES |= {
    "ode_solver, rtol=0": (lambda: ode_solver(rtol=0.0), "rtol", "above 0", "0.0"),
    "ode_solver, atol": (lambda: ode_solver(atol=-1e-3), "atol", "above 0", "-0.001"),
    "ode_solver, time": (lambda: ode_solver(time=0), "time", "above 0", "got 0"),
    "ode_solver, max_steps": (lambda: ode_solver(max_steps=0), "max_steps", "at least 1", "0"),
    "ode_solver, adjoint": (
        lambda: ode_solver(adjoint="backsolv"),
        "adjoint",
        "Did you mean 'backsolve'?",
    ),
    "ffjord, noise": (
        lambda: flows.ffjord(3, **H, noise="normal"),
        "noise",
        "gaussian",
        "'normal'",
    ),
}
for name, make in CONTINUOUS.items():
    CASES |= {
        f"{name}(0)": (lambda m=make: m(0), "dim", "at least", "0"),
        f"{name}, hidden=64": (lambda m=make: m(hidden=64), "hidden", "(64, 64)", "got 64"),
        f"{name}, hidden=()": (lambda m=make: m(hidden=()), "hidden", "at least one layer", "()"),
        f"{name}, cond_shape": (
            lambda m=make: m(cond_shape=(-1,)),
            "cond_shape",
            "at least 1",
            "-1",
        ),
        f"{name}, activation": (lambda m=make: m(activation="relu"), "activation", "function"),
        f"{name}, solver": (lambda m=make: m(solver=ode_solver), "solver", "ode_solver(...)"),
        f"{name} of integers": (lambda m=make: run(m(), x=INT), "floating", "int", "Dequantize"),
        f"{name} of another width": (lambda m=make: run(m(), x=FOUR), "[..., 3]", "(2, 4)"),
        f"{name}, cond missing": (lambda m=make: run(m(cond_shape=(2,))), "cond", "missing"),
        f"{name}, cond extra": (lambda m=make: run(m(), cond=jnp.ones(2)), "cond", "unconditional"),
    }

DEEP = made(3, gaussian(), hidden=(4, 4))
FOREIGN = {  # name: (model, model of the parameters, words of the message)
    "params of a shallower one": (DEEP, gaussian_made, "['biases'][1] ", "(4,)", "nothing"),
    "params of a deeper one": (gaussian_made, DEEP, "['biases'][1] must be absent", "(4,)"),
    "params of a wider one": (
        gaussian_made,
        made(3, gaussian(), hidden=(5,)),
        "['biases'][0] ",
        "(4,)",
        "(5,)",
    ),
    "params without direct": (
        made(3, gaussian(), **H, direct=True),
        gaussian_made,
        "['direct']",
        "(3, 2, 3)",
        "nothing",
    ),
    "params of another net": (
        gaussian_made,
        transformer(3, gaussian(), hidden=4, num_layers=1, num_heads=2),
        "nothing",
    ),
    "params of another ensemble": (
        made(3, gaussian(), **H, masks=Masks(2)),
        DEEP,
        "['biases'][1] must be absent",
    ),
    "params of a flow": (maf_density(), flows.maf(3, **TWO), "['flow']", "nothing"),
    "params of a conditional flow": (
        maf_density(),
        maf_density(cond_shape=(2,)),
        "['cond']",
        "absent",
    ),
}

CASES |= {
    "neural_ode, field": (lambda: flows.neural_ode(linear, 3), "field", "Field", "function"),
    "realnvp, odd": (lambda: flows.realnvp(3, hidden=(4,), num_layers=3), "num_layers", "even"),
    "realnvp, shuffle": (lambda: flows.realnvp(3, **TWO, shuffle=-1), "shuffle", "least 0", "-1"),
    "realnvp, shuffle=0.5": (lambda: flows.realnvp(3, **TWO, shuffle=0.5), "shuffle", "0.5"),
    "plu, seed": (lambda: flows.plu(3, seed=-1), "seed", "at least 0", "-1"),
    "qr, num_reflections": (lambda: flows.qr(3, num_reflections=0), "num_reflections", "0"),
    "conv1x1": (lambda: flows.conv1x1(0), "num_channels", "at least 1", "0"),
    "conv1x1, form": (lambda: flows.conv1x1(3, form="qrr"), "form", "plu", "Did you mean 'qr'?"),
    "sylvester, form": (lambda: flows.sylvester(3, form="house"), "form", "householder", "'house'"),
    "sylvester, num_units": (lambda: flows.sylvester(3, num_units=4), "num_units", "dim=3", "4"),
    "sylvester, num_units of another form": (
        lambda: flows.sylvester(3, form="triangular", num_units=2),
        "num_units",
        "'triangular'",
    ),
    "sylvester, num_reflections of another form": (
        lambda: flows.sylvester(3, num_reflections=2),
        "num_reflections",
        "'orthogonal'",
    ),
    "planar, cond": (
        lambda: run(flows.planar(3, cond_shape=(2,))),
        "cond",
        "missing",
        "cond_shape=(2,)",
    ),
    "cdf, num_components": (lambda: flows.cdf(1, num_components=0), "num_components", "0"),
    "elementwise, law": (lambda: flows.elementwise(3, law=affine), "law", "affine(...)"),
    "adapt of a maker": (lambda: adapt(flows.actnorm, {}, FOUR), "model", "actnorm(...)"),
    "adapt of one row": (lambda: adapted(flows.actnorm(3), jnp.ones((1, 3))), "two", "(1, 3)"),
    "adapt of integers": (lambda: adapted(flows.actnorm(3), INT), "floating", "int"),
    "adapt of NaN": (
        lambda: adapted(flows.actnorm(3), np.full((2, 3), np.nan)),
        "x",
        "2 of 2 rows",
        "drop",
    ),
    "plu, event_ndims": (lambda: flows.plu(3, event_ndims="x"), "event_ndims", "integer", "'x'"),
    "actnorm, event_ndims": (lambda: flows.actnorm(3, event_ndims=0), "event_ndims", "0"),
    "adapt of an inverted actnorm": (
        lambda: adapted(invert(flows.actnorm(3)), jnp.ones((2, 3))),
        "inverted",
        "outside",
    ),
    "squeeze, odd": (lambda: squeeze((4, 3, 1)), "even", "(4, 3, 1)"),
    "checkerboard, odd": (lambda: checkerboard((4, 3, 1)), "even width", "(4, 3, 1)"),
    "flatten of a vector": (lambda: flatten((12,)), "shape", "channels", "(12,)"),
    "FactorOut, odd": (lambda: FactorOut(None, (2, 2, 3)), "even number of channels", "(2, 2, 3)"),
    "factor_out(bijector)": (lambda: factor_out(flatten((2, 2, 1)), (2, 2, 2)), "rest", "Flow"),
    "factor_out of a map of vectors": (
        lambda: run(factor_out(flows.diagonal(4), (2, 2, 2)), x=jnp.ones(8)),
        "rest",
        "images",
    ),
    "channel_coupling of one": (lambda: flows.channel_coupling((2, 2, 1)), "two channels"),
    "channel_coupling, net": (
        lambda: flows.channel_coupling((2, 2, 2), net="resnet"),
        "net",
        "function",
        "str",
    ),
    "channel_coupling, law": (
        lambda: flows.channel_coupling((2, 2, 2), law="affine"),
        "law",
        "Law",
        "str",
    ),
    "glow, too many scales": (
        lambda: flows.glow((28, 28, 1), num_scales=3),
        "num_scales=3",
        "multiples of 8",
        "28",
    ),
    "glow, num_scales": (lambda: image_model(flows.glow, num_scales=0), "num_scales", "0"),
    "glow, num_steps": (lambda: image_model(flows.glow, num_steps=0), "num_steps", "0"),
    "glow, form": (lambda: image_model(flows.glow, form="lu"), "form", "'lu'", "plu"),
    "realnvp_image, num_scales": (
        lambda: image_model(flows.realnvp_image, num_scales=0),
        "num_scales",
        "0",
    ),
    "realnvp_image, num_couplings": (
        lambda: image_model(flows.realnvp_image, num_couplings=0),
        "num_couplings",
        "0",
    ),
    "flow_pp, num_couplings": (
        lambda: image_model(flows.flow_pp, num_couplings=4),
        "num_couplings",
        "got 4",
    ),
    "flow_pp, two num_couplings": (
        lambda: image_model(flows.flow_pp, num_couplings=(4, 2)),
        "three",
        "(4, 2)",
    ),
    "flow_pp, num_components": (
        lambda: image_model(flows.flow_pp, num_components=0),
        "num_components",
        "0",
    ),
    "gated_attention, num_heads": (
        lambda: nets.gated_attention((4, 4, 1), 2, hidden=8, num_heads=3),
        "num_heads",
        "8",
        "3",
    ),
    "conv_resnet, cond_shape": (
        lambda: nets.conv_resnet((4, 4, 1), 1, cond_shape=(2, 4, 3)),
        "cond_shape",
        "(4, 4, n)",
        "(2, 4, 3)",
    ),
    "conv_resnet, dropout": (
        lambda: nets.conv_resnet((4, 4, 1), 1, dropout=1.0),
        "dropout",
        "[0, 1)",
        "1.0",
    ),
    "conv_resnet, out": (lambda: nets.conv_resnet((4, 4, 1), 0), "out_channels", "at least 1"),
    "conv_resnet, shape": (lambda: nets.conv_resnet((4, 4), 1), "shape", "channels", "(4, 4)"),
    "variational_noise, num_levels": (
        lambda: flows.variational_noise((4, 4, 1), 1),
        "num_levels",
        "at least 2",
        "1",
    ),
    "variational_noise of other levels": (
        lambda: density(lambda: flows.variational_noise((4, 4, 1), 8), cond=np.full((4, 4, 1), 8)),
        "x must lie in 0..7",
        "8..8",
    ),
    "uniform_noise": (lambda: uniform_noise(-1), "shape", "(10,)", "-1"),
    "affine, negative": (lambda: affine(bound=-3.0), "bound", "above 0", "-3.0"),
    "affine, infinite": (lambda: affine(bound=float("inf")), "bound", "finite", "inf"),
    "contraction, zero": (lambda: contraction(least=0.0), "least", "above 0", "0.0"),
    "affine, text": (lambda: affine(bound="3"), "bound", "number", "'3'"),
    "made, num_outputs": (lambda: nets.made(3, **H, num_outputs=0), "num_outputs", "at least 1"),
    "made, x": (lambda: AUTOREGRESSIONS["made"]().apply({}, FOUR), "x", "[..., 3]", "(2, 4)"),
    "made, integers": (lambda: AUTOREGRESSIONS["made"]().apply({}, INT), "x", "floating"),
    "naive, dim": (lambda: nets.naive(start, mlp.apply, 0), "dim", "at least 1", "0"),
    "naive, order": (lambda: nets.naive(start, mlp.apply, 3, [0, 1, 1]), "order", "[0, 1, 1]"),
    "mlp, in_dims": (lambda: nets.mlp(-1, 2, **H), "in_dims", "at least 0", "-1"),
    "mlp, in_dims=2.5": (lambda: nets.mlp(2.5, 2, **H), "in_dims", "2.5"),
    "mlp, in_dims=()": (lambda: nets.mlp((), 2, **H), "in_dims", "at least one", "()"),
    "mlp, out_dim": (lambda: nets.mlp(3, 0, **H), "out_dim", "at least 1", "0"),
    "mlp, hidden": (lambda: nets.mlp(3, 2, hidden=64), "hidden", "(64, 64)", "64"),
    "mlp, activation": (lambda: nets.mlp(3, 2, **H, activation="relu"), "activation", "str"),
    "mlp, dropout": (lambda: nets.mlp(3, 2, **H, dropout=1.0), "dropout", "[0, 1)", "1.0"),
    "mlp, dropout text": (lambda: nets.mlp(3, 2, **H, dropout="half"), "dropout", "'half'"),
    "mlp, width": (lambda: mlp.apply(start(mlp), FOUR), "inputs", "(3,)", "(4,)"),
    "mlp, too many": (lambda: mlp.apply(start(mlp), jnp.ones(3), jnp.ones(1)), "inputs", "(3, 1)"),
    "mlp, a scalar": (lambda: mlp.apply(start(mlp), jnp.ones(())), "inputs", "(3,)", "None"),
    "from_linen, class": (lambda: nets.from_linen(linen.Dense, (3,)), "module", "Dense"),
    "from_linen, state": (
        lambda: start(nets.from_linen(Normalised(), (3,))),
        "Normalised",
        "batch_stats",
        "without",
    ),
    "Permutation, twice": (lambda: Permutation([0, 0]), "order", "0..1", "[0, 0]"),
    "Permutation, width": (lambda: Permutation([1, 0]).forward(jnp.ones(3)), "[..., 2]", "(3,)"),
    "Permutation, integers": (lambda: Permutation([1, 0, 2]).inverse(INT), "floating", "int"),
    "Coupling, mask": (lambda: Coupling([1, 0], linear, affine()), "mask", "booleans", "int64"),
    "Coupling, conditioner": (
        lambda: Coupling([True, False], lambda x: x, affine()).forward(jnp.ones(2)),
        "conditioner",
        "[..., 2]",
        "(1,)",
    ),
    "Autoregressive, y": (
        lambda: Autoregressive(nets.made(3, **H, num_outputs=1), None, additive(), 3).inverse(FOUR),
        "y",
        "[..., 3]",
        "(2, 4)",
    ),
    "Scan": (lambda: Scan(lambda p: None, {"w": jnp.ones((3, 2))}, 2), "2 layers", "(3,)"),
    "maf, parameters of another depth": (
        lambda: flows.maf(3, **TWO).bijector(start(flows.maf(3, **H, num_layers=3))),
        "params",
        "2 layers",
        "(3,)",
        "num_layers",
    ),
    **{
        f"a density, {name}": (
            lambda m=model, p=params: m.dist(start(p)),
            "params['",
            "must",
            "got ",
            *words,
            "model.init(key)",
        )
        for name, (model, params, *words) in FOREIGN.items()
    },
    "a density, params none": (lambda: gaussian_made.dist(None), "params['biases'][0]", "nothing"),
    "compose()": (lambda: compose(), "compose", "at least one"),
    "compose(density)": (
        lambda: compose(flows.coupling(3, **H), standard_normal(3)),
        "flow 1",
        "Flow",
        "Density",
    ),
    "compose(maker)": (lambda: compose(flows.maf), "flow 0", "maf(...)"),
    "repeat(maker)": (lambda: repeat(flows.coupling, 2), "flow", "coupling(...)"),
    "repeat, zero": (lambda: repeat(flows.coupling(3, **H), 0), "num_layers", "at least 1", "0"),
    "invert(density)": (lambda: invert(standard_normal(3)), "flow", "Flow", "Density"),
    "fixed(class)": (lambda: fixed(Permutation), "bijector", "called"),
    "fixed(flow)": (lambda: fixed(flows.coupling(3, **H)), "bijector", "Flow"),
    "pushforward, swapped": (
        lambda: pushforward(standard_normal(3), flows.coupling(3, **H)),
        "flow",
        "Density",
    ),
    "pushforward, base": (
        lambda: pushforward(flows.coupling(3, **H), standard_normal),
        "base",
        "standard_normal(...)",
    ),
    "conditional, net": (
        lambda: conditional(linear, linear, cond_shape=(3,)),
        "net",
        "Net",
        "function",
    ),
    "conditional, to_dist": (
        lambda: conditional(mlp, 3.0, cond_shape=(3,)),
        "to_dist",
        "function",
        "float",
    ),
    "conditional, cond": (
        lambda: conditional(mlp, linear, cond_shape=(3,)).dist(start(mlp)),
        "cond",
        "missing",
    ),
    "conditional, no cond_shape": (
        lambda: conditional(mlp, linear, cond_shape=None),
        "cond_shape",
        "(10,)",
        "None",
    ),
    "compose, two cond_shapes": (
        lambda: compose(*(flows.planar(3, cond_shape=(n,)) for n in (2, 4))),
        "cond_shape",
        "[(2,), (4,)]",
    ),
    "encoded, unconditional": (
        lambda: encoded(mlp, standard_normal(3), cond_shape=(3,)),
        "density",
        "conditional",
        "cond_shape=(n,)",
    ),
    "latent_variable, likelihood": (
        lambda: latent_variable(standard_normal(2), standard_normal(3), standard_normal(2)),
        "likelihood",
        "under the condition z",
    ),
    "standard_normal(0)": (lambda: standard_normal(0), "dim", "at least 1", "0"),
    "standard_normal(2.0)": (lambda: standard_normal(2.0), "dim", "integer", "2.0"),
    "density of integers": (lambda: density(maf_density, INT), "floating", "int", "Dequantize"),
    "density of another width": (lambda: density(maf_density, FOUR), "[..., 3]", "(2, 4)"),
    "gaussian_made of integers": (lambda: density(lambda: gaussian_made, INT), "floating", "int"),
    "gaussian_made of another width": (
        lambda: density(lambda: gaussian_made, FOUR),
        "[..., 3]",
        "(2, 4)",
    ),
    "gaussian_made, cond missing": (
        lambda: density(lambda: made(3, gaussian(), **H, cond_shape=(2,))),
        "cond",
        "missing",
    ),
    "gaussian_made, cond extra": (
        lambda: density(lambda: gaussian_made, cond=jnp.ones(2)),
        "cond",
        "unconditional",
    ),
    "gaussian_made of a spline": (
        lambda: density(lambda: made(3, gaussian(rational_quadratic_spline()), **H)),
        "law",
        "affine()",
        "RationalQuadraticSpline",
        "flows.maf",
    ),
    "reverse_kl, num_samples": (
        lambda: kl_of_made(linear, num_samples=0),
        "num_samples",
        "at least 1",
        "0",
    ),
    "reverse_kl, log_density": (
        lambda: kl_of_made(0.0, num_samples=2),
        "log_density",
        "function",
        "float",
    ),
    "reverse_kl, of each coordinate": (
        lambda: kl_of_made(jnp.sin, num_samples=3),
        "log_density",
        "(3,)",
        "(3, 3)",
        "Sum",
    ),
    "bits_per_dim": (lambda: bits_per_dim(jnp.ones(2), 0), "dim", "at least 1", "0"),
    "mean_and_stderr, one": (lambda: mean_and_stderr(jnp.ones(1)), "values", "two", "(1,)"),
    "mean_and_stderr, table": (lambda: mean_and_stderr(jnp.ones((2, 3))), "values", "(2, 3)"),
}


def refused(call, error):
    def traced():
        call()

    with pytest.raises(error) as caught:
        jax.eval_shape(traced)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 250
    return message


@pytest.mark.parametrize("name", CASES)
def test_a_bad_value_is_refused_in_one_line(name):
    call, *words = CASES[name]
    message = refused(call, ValueError)
    for word in words:
        assert word in message


INITS = {
    **{name: make() for name, make in {**AUTOREGRESSIONS, **COUPLINGS, **GAUSSIAN}.items()},
    **{name: make(3) for name, make in PLAIN.items()},
    **{name: image_model(make) for name, make in IMAGES.items()},
    **{name: make() for name, make in CONTINUOUS.items()},
    "revnet": nets.revnet(nets.mlp(3, 3, hidden=(4,)), num_layers=1),
    "irevnet": nets.irevnet((4, 4, 1), num_layers=1),
    "mlp": mlp,
    "compose": compose(fixed(Permutation([1, 0, 2]))),
    "repeat": repeat(fixed(Permutation([1, 0, 2])), 2),
    "invert": invert(flows.coupling(3, **H)),
    "pushforward": maf_density(),
    "conditional": conditional(mlp, linear, cond_shape=(3,)),
}


@pytest.mark.parametrize("name", INITS)
def test_an_init_takes_one_typed_key_and_nothing_else(name):
    for bad, word in [
        (0, "int"),
        (None, "NoneType"),
        (jax.random.PRNGKey(0), "uint32"),
        (jax.random.split(jax.random.key(0), 2), "(2,)"),
    ]:
        message = refused(lambda bad=bad: INITS[name].init(bad), TypeError)
        assert "key must be" in message and word in message and "jax." in message


@pytest.mark.parametrize(
    "call",
    [
        lambda key: mlp.apply(start(mlp), jnp.ones(3), key=key),
        lambda key: flows.ffjord(3, **H).bijector(None, key=key),
        lambda key: kl_of_made(linear, key, num_samples=2),
    ],
)
def test_a_function_that_draws_takes_one_typed_key(call):
    for bad in (0, jax.random.PRNGKey(0)):
        assert "key must be a typed key" in refused(lambda bad=bad: call(bad), TypeError)
