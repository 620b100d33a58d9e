"""Faults of the experiments and of the checks at the boundary."""

from tests.faults.planting import Fault

CHECKS = "dgm_jax/checks.py"
RUNNER = "experiments/runner.py"

WRONG = "test_checks.py::test_what_is_wrong_is_one_line_with_argument_value_and_remedy"

FAULTS = (
    # -------------------------------------------------------------------------------- bad inputs
    Fault(
        "condition-forgotten",
        "a conditional model without its condition is not refused",
        CHECKS,
        "if cond is None and cond_shape is not None:",
        "if False:",
        WRONG,
    ),
    Fault(
        "legacy-keys",
        "an integer is taken for a key",
        CHECKS,
        'if not (hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)):',
        "if False:",
        WRONG,
    ),
    Fault(
        "nan-in-the-data",
        "rows with NaN are trained on",
        CHECKS,
        '        if bad.any():\n            raise ValueError(\n                f"{name}: {bad.sum()}',
        '        if False:\n            raise ValueError(\n                f"{name}: {bad.sum()}',
        WRONG,
    ),
    Fault(
        "true-is-a-number",
        "True is taken for the integer 1",
        CHECKS,
        "if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:",
        "if not isinstance(value, (int, np.integer)) or value < least:",
        WRONG,
    ),
)
