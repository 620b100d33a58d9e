"""What `help` shows of a public name: every option with its default, and what each argument is."""

import dataclasses
import inspect

import pytest

import dgm_jax

PUBLIC = (
    "autoregressive",
    "bijectors",
    "checks",
    "combinators",
    "data",
    "distributions",
    "flows",
    "gans",
    "learning",
    "likelihoods",
    "metrics",
    "nets",
    "objectives",
    "quantized",
    "vae",
)
FORWARD_TO_A_CALLABLE_OF_THE_USER = ()  # their **options are its own


def public(module):
    """Functions and classes of ours in a module or package, but for types without code."""
    for name, value in vars(module).items():
        ours = getattr(value, "__module__", "").split(".")[0] in ("dgm_jax", "tests")
        if name.startswith("_") or inspect.ismodule(value) or not callable(value) or not ours:
            continue
        only_fields = inspect.isclass(value) and (
            issubclass(value, (tuple, BaseException)) or dataclasses.is_dataclass(value)
        )
        if not only_fields:
            yield name, value


def parameters(function):
    """But for self."""
    function = function.__init__ if inspect.isclass(function) else function
    signature = inspect.signature(function)
    return [p for p in signature.parameters.values() if p.name != "self"]


def gathers_options(function) -> bool:
    return any(p.kind is p.VAR_KEYWORD for p in parameters(function))


def without_annotation(function) -> list[str]:
    missing = [p.name for p in parameters(function) if p.annotation is p.empty]
    returns = inspect.isclass(function) or function.__annotations__.get("return", 0) != 0
    return missing + ([] if returns else ["return"])


NAMES = {
    f"{package}.{name}": value
    for package in PUBLIC
    for name, value in public(getattr(dgm_jax, package))
}


@pytest.mark.parametrize("name", NAMES)
def test_options_are_spelled_out(name):
    assert gathers_options(NAMES[name]) == (name in FORWARD_TO_A_CALLABLE_OF_THE_USER)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_and_result_has_a_type(name):
    assert without_annotation(NAMES[name]) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_says_what_it_is(name):
    assert inspect.getdoc(NAMES[name])


def test_what_would_be_wrong_is_found():
    def wrong(x: int, y=1, **options: int):
        pass

    class Wrong:
        def __init__(self, x, y: int):
            pass

    def right(x: int, *, y: int = 1) -> None:
        pass

    assert gathers_options(wrong) and not gathers_options(right)
    assert without_annotation(wrong) == ["y", "return"]
    assert without_annotation(Wrong) == ["x"] and without_annotation(right) == []
