"""Every public function with every bad value of tests/sweep/values.py for every argument.

What comes of a call is an error of ours that names the argument, in one line, or a value that is
right: that of the canonical value. Never another error, and never a value that is silently wrong.
"""

import inspect
import re
import warnings

import jax
import numpy as np
import pytest

from dgm_jax import checks
from tests.sweep.essence import essence, has_nan
from tests.sweep.table import INNER, TABLE, public
from tests.sweep.values import EITHER, REFUSED, SEEN, VALUES, Given, Right

FEWEST_CALLS = 4_000


def outcome(entry, **changed):
    """(error, None) or (None, result) of the good call with some arguments changed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return None, entry.call(**entry.good | changed)
    except (checks.InputError, *entry.raises) as error:
        return error, None


def cases(entry, name):
    """(what the value is, the value, what is right) for an argument."""
    kind, good = entry.kinds[name], entry.good.get(name)
    more = kind.more(good) if good is not None or kind.more.__name__ != "<lambda>" else {}
    for what, value in (VALUES | more).items():
        value, right = value if isinstance(value, Given) else (value, kind.canonical(value))
        if right is REFUSED or not entry.costly:
            yield what, value, right


def problem(entry, name, what, value, right):
    """What is wrong with this call, None where nothing is."""
    try:
        error, result = outcome(entry, **{name: value})
    except Exception as bare:
        return f"bare {type(bare).__name__}: {' '.join(str(bare).split())[:150]}"
    if error is not None:
        return wrong_error(entry, name, error, right)
    if right is REFUSED:
        return f"taken: {checks.shown(result)}"
    if right is SEEN:
        return None if has_nan(result) else f"NaN is not seen: {checks.shown(result)}"
    if right is EITHER:
        return None
    wanted = outcome(entry, **{name: right})[1]
    if essence(result) != essence(wanted):
        return f"another result than {checks.shown(right)}: {checks.shown(result)}"
    return None


def wrong_error(entry, name, error, right):
    ours, said = isinstance(error, checks.InputError), " ".join(str(error).split())[:150]
    if not ours and right is REFUSED:
        return f"bare {type(error).__name__}: {said}"
    if ours and "\n" in str(error):
        return f"two lines: {said}"
    if ours and right is not EITHER and not named(entry, name, str(error)):
        return f"does not name it: {said}"
    if isinstance(right, Right) or outcome(entry, **{name: right})[0] is not None:
        return None
    return f"refused: {said}"


def named(entry, name, said):
    return re.search(rf"\b{entry.told.get(name, name)}", said) is not None


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("function", TABLE)
def test_no_bad_value_is_taken_and_none_is_a_bare_error(function, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jax.config.update("jax_debug_key_reuse", False)  # one key serves all calls
    try:
        entry = TABLE[function]
        found = [
            f"{function}({name}: {what}) {wrong}"
            for name in entry.kinds
            for what, value, right in cases(entry, name)
            if (wrong := problem(entry, name, what, value, right))
        ]
    finally:
        jax.config.update("jax_debug_key_reuse", True)
    assert not found, "\n".join([f"{len(found)} calls", *found])


@pytest.mark.slow
def test_the_sweep_is_of_thousands_of_calls():
    calls = sum(len([*cases(entry, name)]) for entry in TABLE.values() for name in entry.kinds)
    assert calls >= FEWEST_CALLS


def test_every_public_function_is_swept():
    names = public()
    assert len(names) > 150
    assert names.keys() - INNER.keys() == TABLE.keys()
    assert INNER.keys() <= names.keys()


def test_every_argument_is_swept():
    for name, function in public().items():
        if name in INNER:
            continue
        parameters = inspect.signature(function).parameters.values()
        own = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        assert own - {"self"} <= TABLE[name].kinds.keys(), name


def test_what_a_sweep_would_find_is_found():
    def wrong(dim):
        return int(float(dim)) if np.ndim(dim) == 0 else dim + 1

    entry = TABLE["flows.planar"]._replace(call=wrong, good={"dim": 3})
    entry = entry._replace(kinds={"dim": entry.kinds["dim"]})
    found = {what: problem(entry, "dim", what, *rest) for what, *rest in cases(entry, "dim")}
    assert found["2.0"].startswith("taken") and found["text"].startswith("bare ValueError")
    assert found["2"] is None and found["np.int64(2)"] is None
