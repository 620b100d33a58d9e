"""The checks at the boundary: what passes, what does not, and what the line says."""

import gc
import weakref

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import checks
from dgm_jax.bijectors import Law, affine
from dgm_jax.flows import iaf
from dgm_jax.protocol import Flow


def init(key):
    return {"w": [jax.random.normal(key, (2, 3)), jnp.zeros(3)]}


HALF = {"w": [np.ones((2, 3), jnp.bfloat16), np.ones(3, np.float16)]}
STACKED = jax.tree.map(lambda a: jnp.ones((5, *a.shape)), HALF)

PASS = {
    "parameters": lambda: checks.parameters(init(jax.random.key(0)), init),
    "parameters, half": lambda: checks.parameters(HALF, init),
    "parameters, abstract": lambda: jax.eval_shape(lambda p: checks.parameters(p, init), HALF),
    "parameters, in vmap": lambda: jax.vmap(lambda p: checks.parameters(p, init))(STACKED),
    "parameters, on devices": lambda: jax.pmap(lambda p: checks.parameters(p, init))(STACKED),
    "parameters, tuples": lambda: checks.parameters({"w": tuple(HALF["w"])}, init),
    "parameters, frozen": lambda: checks.parameters(flax.core.freeze(HALF), init),
    "key": lambda: checks.key(jax.random.key(0)),
    "key, abstract": lambda: jax.eval_shape(checks.key, jax.random.key(0)),
    "key, in vmap": lambda: jax.vmap(checks.key)(jax.random.split(jax.random.key(0), 2)),
    "positive_int": lambda: checks.positive_int(np.int64(1), "n"),
    "positive_int, zero": lambda: checks.positive_int(0, "n", least=0),
    "positive": lambda: checks.positive(1e-9, "rate"),
    "positive, integer": lambda: checks.positive(3, "rate"),
    "widths": lambda: checks.widths((64, 64)),
    "widths, list": lambda: checks.widths([64]),
    "widths, none": lambda: checks.widths(()),
    "choice": lambda: checks.choice("a", ("a", "b"), "which"),
    "events": lambda: checks.events(jnp.ones((2, 3)), 3),
    "events, one": lambda: checks.events(np.ones(3), 3),
    "events, bfloat16": lambda: checks.events(jnp.ones(3, jnp.bfloat16), 3),
    "cond_shape": lambda: checks.cond_shape((3,)),
    "cond_shape, of a picture": lambda: checks.cond_shape([4, 4, 1]),
    "cond_shape, none": lambda: checks.cond_shape(None),
    "rate": lambda: checks.rate(0, "dropout"),
    "image_shape": lambda: checks.image_shape([4, 4, 1]),
    "event_of": lambda: checks.event_of(jnp.ones((2, 4, 4, 1)), (4, 4, 1)),
    "levels": lambda: checks.levels(np.ones((2, 3), np.uint8), 3, 256),
    "mask": lambda: checks.mask([True, False], 2),
    "finite_rows": lambda: checks.finite_rows(np.ones((2, 3))),
    "finite_rows, integers": lambda: checks.finite_rows(np.ones(2, int)),
    "within": lambda: checks.within(np.array([0, 7]), 0, 7, "x"),
    "within, traced": lambda: jax.make_jaxpr(lambda x: checks.within(x, 0, 7, "x"))(8) and None,
    "within, known in traced code": lambda known=jnp.arange(8): (  # noqa: B008
        jax.make_jaxpr(lambda x: checks.within(known, 0, 7, "x"))(0) and None
    ),
    "moments": lambda: checks.moments(np.zeros(2), np.eye(2), "covariance") and None,
    "positive_definite": lambda: checks.positive_definite(np.eye(2), "precision"),
    "function": lambda: checks.function(jnp.tanh, "activation"),
    "noun": lambda: checks.noun(affine(), Law, "law"),
    "array": lambda: checks.array(np.ones(2), "x"),
}


@pytest.mark.parametrize("name", PASS)
def test_what_is_right_passes(name):
    PASS[name]()


@pytest.mark.parametrize(
    "check, given, canonical",
    [
        (checks.positive_int, np.uint8(100), 100),
        (checks.positive_int, np.int64(3), 3),
        (checks.integer, 10**30, 10**30),
        (checks.positive, 3, 3.0),
        (checks.positive, np.float32(0.5), 0.5),
        (checks.not_negative, 0, 0.0),
        (checks.number, np.float16(-2), -2.0),
        (checks.rate, np.float64(0.25), 0.25),
        (checks.flag, np.bool_(True), True),
        (checks.widths, [np.int32(8), 4], (8, 4)),
        (checks.widths, np.array([8, 4]), (8, 4)),
        (checks.shape, [np.int64(3)], (3,)),
        (checks.one_or_more, np.int64(3), (3,)),
        (checks.sample_shape, 0, (0,)),
        (checks.cond_shape, [4, np.int64(4), 1], (4, 4, 1)),
        (checks.image_shape, [4, 4, np.uint8(1)], (4, 4, 1)),
    ],
)
def test_a_check_gives_the_value_as_python_has_it(check, given, canonical):
    """np.uint8(100) * 3 is 44, and np.float64(3) * a bfloat16 array is a float32 one."""
    got = check(given) if check is checks.sample_shape else check(given, "x")
    flat = jax.tree.leaves((got, canonical))
    assert got == canonical and {type(a) for a in flat} <= {int, float, bool}


@pytest.mark.parametrize("order", [[1, 0, 2], np.array([1, 0, 2], np.uint8), np.array([1, 0, 2])])
def test_a_permutation_is_returned_in_32_bits(order):
    found = checks.permutation(order, 3)
    assert found.dtype == np.int32 and found.tolist() == [1, 0, 2]


FAIL = {
    "moments, of two sizes": (
        lambda: checks.moments(np.zeros(3), np.eye(2), "covariance"),
        ValueError,
        "mean and covariance",
        "[d] and [d, d]",
        "(3,) and (2, 2)",
    ),
    "moments, not finite": (
        lambda: checks.moments(np.array([np.nan, 0]), np.eye(2), "covariance"),
        ValueError,
        "mean must be finite",
    ),
    "positive_definite, singular": (
        lambda: checks.positive_definite(np.ones((2, 2)), "precision"),
        ValueError,
        "precision must be positive definite",
        "precision + 1e-6 I",
    ),
    "positive_definite, not symmetric": (
        lambda: checks.positive_definite(np.array([[1.0, 1.0], [0.0, 1.0]]), "precision"),
        ValueError,
        "precision must be a symmetric matrix",
    ),
    "parameters, fewer": (
        lambda: checks.parameters({"w": HALF["w"][:1]}, init),
        ValueError,
        "params['w'][1] must have shape (3,)",
        "nothing",
        "model.init(key)",
    ),
    "parameters, more": (
        lambda: checks.parameters(HALF | {"b": np.ones(4)}, init),
        ValueError,
        "params['b'] must be absent",
        "(4,)",
    ),
    "parameters, stacked": (
        lambda: checks.parameters(STACKED, init),
        ValueError,
        "(2, 3)",
        "(5, 2, 3)",
    ),
    "parameters, a function": (lambda: checks.parameters(init, init), ValueError, "['w'][0]"),
    "key, integer": (lambda: checks.key(0), TypeError, "key", "int", "jax.random.key(seed)"),
    "key, none": (lambda: checks.key(None), TypeError, "key", "NoneType", "jax.random.key"),
    "key, legacy": (
        lambda: checks.key(jax.random.PRNGKey(0), "seed"),
        TypeError,
        "seed",
        "uint32",
        "typed",
    ),
    "key, many": (
        lambda: checks.key(jax.random.split(jax.random.key(0), 3)),
        TypeError,
        "one key",
        "(3,)",
        "jax.vmap",
    ),
    "positive_int, zero": (lambda: checks.positive_int(0, "n"), ValueError, "n ", "least 1", "0"),
    "positive_int, bool": (lambda: checks.positive_int(True, "n"), ValueError, "n ", "True"),
    "positive_int, float": (lambda: checks.positive_int(2.0, "n"), ValueError, "n ", "2.0"),
    "positive_int, text": (lambda: checks.positive_int("2", "n"), ValueError, "n ", "'2'"),
    "positive, zero": (lambda: checks.positive(0, "rate"), ValueError, "rate", "above 0", "0"),
    "positive, nan": (lambda: checks.positive(float("nan"), "rate"), ValueError, "rate", "nan"),
    "positive, infinite": (lambda: checks.positive(float("inf"), "rate"), ValueError, "inf"),
    "positive, bool": (lambda: checks.positive(True, "rate"), ValueError, "rate", "True"),
    "widths, a number": (lambda: checks.widths(64), ValueError, "hidden", "(64, 64)", "64"),
    "widths, zero": (lambda: checks.widths((64, 0)), ValueError, "hidden", "(64, 0)", "got 0"),
    "widths, text": (lambda: checks.widths("64"), ValueError, "hidden", "'64'"),
    "choice": (
        lambda: checks.choice("naiv", ("unit_once", "naive"), "inverse"),
        ValueError,
        "inverse",
        "unit_once, naive",
        "'naiv'",
        "Did you mean 'naive'?",
    ),
    "choice, far off": (
        lambda: checks.choice(None, ("a", "b"), "which"),
        ValueError,
        "which",
        "a, b",
        "None",
    ),
    "events, shape": (
        lambda: checks.events(jnp.ones((2, 3)), 4),
        ValueError,
        "x",
        "[..., 4]",
        "(2, 3)",
    ),
    "events, scalar": (lambda: checks.events(jnp.ones(()), 1), ValueError, "[..., 1]", "()"),
    "events, integers": (
        lambda: checks.events(np.ones(3, int), 3, "y"),
        ValueError,
        "y",
        "floating",
        "int",
        "Dequantize",
    ),
    "events, list": (lambda: checks.events([1.0], 1), ValueError, "x", "list", "jnp.asarray"),
    "condition, missing": (lambda: checks.condition(None, (3,)), ValueError, "missing", "=(3,)"),
    "condition, extra": (
        lambda: checks.condition(jnp.ones(3), None),
        ValueError,
        "cond",
        "(3,)",
        "cond_shape",
    ),
    "condition, width": (
        lambda: checks.condition(jnp.ones(2), (3,)),
        ValueError,
        "[..., 3]",
        "(2,)",
    ),
    "condition, scalar": (
        lambda: checks.condition(jnp.ones(()), (1,)),
        ValueError,
        "[..., 1]",
        "()",
    ),
    "condition, classes": (
        lambda: checks.condition(jnp.array([0, 1, 1]), (2,)),
        ValueError,
        "[..., 2]",
        "(3,)",
        "jax.nn.one_hot(cond, 2)",
    ),
    "condition, class": (
        lambda: checks.condition(jnp.array(1), (2,)),
        ValueError,
        "cond",
        "one_hot",
    ),
    "condition, list": (lambda: checks.condition([1.0], (1,)), ValueError, "cond", "list"),
    "condition, another picture": (
        lambda: checks.condition(jnp.ones((5, 4, 3, 1)), (4, 4, 1)),
        ValueError,
        "[..., 4, 4, 1]",
        "(5, 4, 3, 1)",
    ),
    "condition, a row of a picture": (
        lambda: checks.condition(jnp.ones((4, 1)), (4, 4, 1)),
        ValueError,
        "[..., 4, 4, 1]",
        "(4, 1)",
    ),
    "cond_shape, a number": (lambda: checks.cond_shape(3), ValueError, "(10,)", "None", "got 3"),
    "cond_shape, of nothing": (lambda: checks.cond_shape(()), ValueError, "None", "()"),
    "cond_shape, zero": (lambda: checks.cond_shape((2, 0)), ValueError, "(2, 0)", "got 0"),
    "cond_shape, float": (lambda: checks.cond_shape((2.0,)), ValueError, "integer", "2.0"),
    "rate, one": (lambda: checks.rate(1.0, "dropout"), ValueError, "dropout", "[0, 1)", "1.0"),
    "rate, bool": (lambda: checks.rate(False, "dropout"), ValueError, "dropout", "False"),
    "image_shape": (lambda: checks.image_shape((4, 4)), ValueError, "channels", "(4, 4)"),
    "image_shape, zero": (lambda: checks.image_shape((4, 0, 1)), ValueError, "least 1", "got 0"),
    "event_of": (
        lambda: checks.event_of(jnp.ones((4, 1)), (4, 4, 1)),
        ValueError,
        "[..., 4, 4, 1]",
        "(4, 1)",
    ),
    "event_of, integers": (
        lambda: checks.event_of(jnp.ones((4, 4, 1), int), (4, 4, 1)),
        ValueError,
        "floating",
        "int",
    ),
    "levels, width": (lambda: checks.levels(np.ones(2, int), 3, 8), ValueError, "[..., 3]"),
    "levels, floats": (lambda: checks.levels(np.ones(3), 3, 8), ValueError, "0..7", "float32"),
    "permutation, twice": (lambda: checks.permutation([0, 0], 2), ValueError, "0..1", "[0, 0]"),
    "permutation, short": (lambda: checks.permutation([0], 2), ValueError, "0..1", "[0]"),
    "permutation, floats": (lambda: checks.permutation([0.0, 1.0], 2), ValueError, "integers"),
    "permutation, bools": (lambda: checks.permutation([False, True], 2), ValueError, "integers"),
    "permutation, square": (lambda: checks.permutation([[0, 1]], 2), ValueError, "[[0, 1]]"),
    "permutation, number": (lambda: checks.permutation(1, 2), ValueError, "order", "got 1"),
    "mask, short": (lambda: checks.mask([True], 2), ValueError, "mask", "2 booleans", "(1,)"),
    "mask, integers": (lambda: checks.mask([1, 0], 2), ValueError, "mask", "booleans", "int"),
    "mask, all": (lambda: checks.mask([True, True], 2), ValueError, "mask", "all the same"),
    "finite_rows, empty": (lambda: checks.finite_rows(np.ones((0, 2))), ValueError, "empty"),
    "finite_rows, nan": (
        lambda: checks.finite_rows(np.array([[0.0, 1.0], [np.nan, 0.0], [np.inf, 0.0]])),
        ValueError,
        "data",
        "2 of 3",
        "row 1",
        "drop",
    ),
    "within": (
        lambda: checks.within(np.array([-1, 9]), 0, 7, "x"),
        ValueError,
        "x must lie in 0..7",
        "-1..9",
    ),
    "within, nan": (lambda: checks.within(np.array([np.nan]), 0, 7, "x"), ValueError, "nan"),
    "function": (lambda: checks.function(3.0, "loss"), ValueError, "loss", "float", "itself"),
    "noun": (lambda: checks.noun(affine(), Flow, "flow"), ValueError, "flow", "Flow", "Law"),
    "noun, not called": (lambda: checks.noun(iaf, Flow, "flow"), ValueError, "iaf(...)"),
    "noun, its class": (lambda: checks.noun(Flow, Flow, "flow"), ValueError, "flow", "Flow(...)"),
    "array": (lambda: checks.array([1.0], "x"), ValueError, "x", "list", "jnp.asarray"),
}


@pytest.mark.parametrize(
    "shape, cond_shape, batch",
    [((3,), (3,), ()), ((5, 2, 3), (3,), (5, 2)), ((5, 4, 4, 1), (4, 4, 1), (5,))],
)
def test_a_condition_of_any_stated_shape_tells_its_batch_shape(shape, cond_shape, batch):
    for dtype in (float, int):
        assert checks.condition(np.ones(shape, dtype), cond_shape) == batch
    assert checks.condition(None, None) == ()


@pytest.mark.parametrize("name", FAIL)
def test_what_is_wrong_is_one_line_with_argument_value_and_remedy(name):
    call, error, *words = FAIL[name]
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


@pytest.mark.usefixtures("small_heap")
def test_joint_parameters_are_those_of_each_name_and_no_others():
    inits = {
        name: lambda key, n=n: {"w": jnp.zeros(n)} for name, n in (("model", 2), ("critic", 3))
    }
    right = {"model": {"w": np.ones(2)}, "critic": {"w": np.ones(3)}}
    checks.joint_parameters(right, inits)
    with pytest.raises(checks.InputError, match=r"params\['w'\] must have shape \(3,\)"):
        checks.joint_parameters(right | {"critic": right["model"]}, inits)
    for wrong in (right["model"], right | {"more": {}}, None):
        with pytest.raises(checks.InputError, match="a dict of 'model' and 'critic'; got"):
            checks.joint_parameters(wrong, inits)


def test_the_shapes_of_parameters_are_traced_once_a_model_and_leave_with_it():
    traced = []

    def model():
        def init(key):
            traced.append(key)
            return {"w": jnp.zeros(2)}

        return init

    one = model()
    for _ in range(3):
        jax.make_jaxpr(lambda p: checks.parameters(p, one))({"w": jnp.ones(2)})
    assert len(traced) == 1
    kept, one = weakref.ref(one), None
    gc.collect()
    assert kept() is None


def test_a_legacy_key_is_told_to_be_one():
    """distrax makes it of seed=0, whose giver never saw an array."""
    with pytest.raises(TypeError, match=r"got uint32 array, a legacy key, such as distrax makes"):
        checks.key(np.zeros(2, np.uint32), "seed")
    with pytest.raises(TypeError, match=r"got int32 array\. Make one"):
        checks.key(np.zeros(2, np.int32), "seed")


def test_an_unknown_argument_is_told_the_nearest_one():
    def of_options(dim, *, hidden=3, num_layers=2):
        """Its docstring."""
        return dim, hidden, num_layers

    spelled = checks.spelled(of_options)
    assert spelled(1, hidden=4) == (1, 4, 2) and spelled.__doc__ == "Its docstring."
    with pytest.raises(TypeError, match=r"of_options\(\) .* 'hiden'.* Did you mean 'hidden'\?"):
        spelled(1, hiden=4)
    with pytest.raises(TypeError, match=r"of_options\(\) .* 'foo'"):
        spelled(1, foo=4)
