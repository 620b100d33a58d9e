"""The arithmetic of a program, loops included.

XLA's own count takes the body of a loop once, whatever its number of iterations. The layers of a
flow and the steps of an inversion are loops, so the operations are counted in the traced program.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import Literal

from .. import checks

# of the three operations of `nets.upsampling`: which of their arrays is the small image, the kernel
STRIDED = {"strided_down": (2, 1), "strided_up": (0, 1), "strided_kernel_gradient": (1, 2)}


def made_pass(
    dim: int,
    hidden: Sequence[int],
    *,
    num_layers: int,
    batch: int,
    num_outputs: int = 2,
    direct: bool | None = None,
) -> int:
    """2 · batch · layers · (d h_1 + h_1 h_2 + ... + h_n d k [+ d d k]): one dense masked pass.

    The floating-point operations of a forward pass of `layers` MADEs: every entry of every matrix
    costs one multiplication and one addition per example, masked or not. Biases and activations are
    not counted.

    dim: d, the number of coordinates of x
    hidden: h_1, ..., h_n, the widths of the hidden layers, at least one
    num_layers, batch: the number of MADEs, as in a MAF, and of examples
    num_outputs: k, the outputs for each coordinate
    direct: whether there are direct connections from inputs to outputs, which are the last term;
        None for the default of `nets.made`, which has them if a hidden layer is narrower than d - 1
    """
    dim, hidden = checks.positive_int(dim, "dim"), checks.widths(hidden, fewest=1)
    num_layers = checks.positive_int(num_layers, "num_layers")
    batch = checks.positive_int(batch, "batch")
    num_outputs = checks.positive_int(num_outputs, "num_outputs")
    direct = None if direct is None else checks.flag(direct, "direct")
    direct = min(hidden) < dim - 1 if direct is None else direct
    widths = (dim, *hidden, dim * num_outputs)
    entries = sum(a * b for a, b in zip(widths[:-1], widths[1:])) + direct * dim * dim * num_outputs
    return 2 * batch * num_layers * entries


def products(function: Callable, *args: Any) -> int | None:
    """Multiplications and additions in the matrix products and convolutions of function(*args).

    The function is traced, not run. Unlike XLA's own count, a `scan` counts all its iterations. A
    `cond` counts its most expensive branch; zero padding of a convolution is counted; unused
    results are not.

    function: of arrays, made of jax functions; args: its arguments, or jax.ShapeDtypeStruct for
        them

    Returns an integer, or None if a `while` loop multiplies matrices, because its number of
    iterations depends on the data.
    """
    checks.function(function, "function")
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    count = _count(jaxpr, [True] * len(jaxpr.outvars))
    return None if math.isnan(count) else int(count)


def _count(jaxpr, wanted):
    """The equations that the wanted results need, last to first; NaN for an unknown number."""
    needed = {v for v, want in zip(jaxpr.outvars, wanted) if want and not isinstance(v, Literal)}
    total = 0.0
    for equation in reversed(jaxpr.eqns):
        results = [v in needed for v in equation.outvars]
        if not any(results):
            continue
        needed |= {v for v in equation.invars if not isinstance(v, Literal)}
        total += _equation(equation, results)
    return total


def _equation(equation, results):
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        left = equation.invars[0].aval.shape
        summed = math.prod(left[axis] for axis in params["dimension_numbers"][0][0])
        return 2.0 * equation.outvars[0].aval.size * summed
    if name == "conv_general_dilated":  # of each output: taps x channels that it reads
        kernel = equation.invars[1].aval.shape
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * equation.outvars[0].aval.size * (math.prod(kernel) // outputs)
    if name in STRIDED:  # of each pixel of the small image: taps x channels of the large one
        arrays = [*equation.invars, *equation.outvars]
        small, kernel = (arrays[i].aval for i in STRIDED[name])
        return 2.0 * small.size * math.prod(kernel.shape[:3])
    inner = [j for value in params.values() for j in _jaxprs(value)]
    if name == "custom_linear_solve":  # the four programs of which one is run
        inner = [params["jaxprs"].solve.jaxpr]
    counts = [
        _count(
            j,
            results
            if len(j.outvars) == len(results) and name != "scan"
            else [True] * len(j.outvars),
        )
        for j in inner
    ]
    if name == "scan":
        return params["length"] * sum(counts)
    if name == "while":
        return math.nan if any(counts) else 0.0
    unknown = any(math.isnan(count) for count in counts)
    return max(counts, default=0.0) if name == "cond" and not unknown else sum(counts)


def _jaxprs(value):
    values = value if isinstance(value, (list, tuple)) else [value]
    return [getattr(v, "jaxpr", v) for v in values if hasattr(getattr(v, "jaxpr", v), "eqns")]
