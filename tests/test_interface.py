"""What `help` shows: every option and what each argument is; and what a model prints as."""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import dgm_jax
from dgm_jax import (
    autoregressive,
    bijectors,
    data,
    distributions,
    flows,
    inference,
    learning,
    likelihoods,
    nets,
    objectives,
    protocol,
    quantized,
    vae,
)

PUBLIC = (
    "autoregressive",
    "bijectors",
    "checks",
    "combinators",
    "data",
    "diffusion",
    "disentangled",
    "distributions",
    "flows",
    "gans",
    "inference",
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
EVERY_MODULE = [info.name for info in pkgutil.walk_packages(dgm_jax.__path__, "dgm_jax.")]


@pytest.mark.parametrize("name", NAMES)
def test_options_are_spelled_out(name):
    assert gathers_options(NAMES[name]) == (name in FORWARD_TO_A_CALLABLE_OF_THE_USER)


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_and_result_has_a_type(name):
    assert without_annotation(NAMES[name]) == []


@pytest.mark.parametrize("name", EVERY_MODULE)
def test_every_function_that_modules_share_has_types(name):
    public_here = {
        n: f for n, f in vars(importlib.import_module(name)).items() if not n.startswith("_")
    }
    missing = {
        n: without_annotation(f)
        for n, f in public_here.items()
        if inspect.isfunction(f) and f.__module__ == name
    }
    assert {n: what for n, what in missing.items() if what} == {}


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


# ------------------------------------------------------------------------ the form of docstrings
MODULES = {name.removeprefix("dgm_jax."): name for name in EVERY_MODULE}
CHAPTERS = (
    "autoregressive",
    "diffusion",
    "disentangled",
    "flows",
    "gans",
    "inference",
    "quantized",
    "vae",
)
MODELS = (protocol.Density, protocol.Flow, protocol.LatentVariable, protocol.Adversarial)
SOURCE = re.compile(r"\b(19|20)\d\d\b|Lecture:")
EVERYWHERE = {"x", "y", "z", "name", "model", "state", "title", "batch", "value"}


def shared_arguments() -> set[str]:
    """The arguments that dgm_jax.protocol explains once for all functions."""
    rows = re.findall(r"^    (\w+(?:, \w+)*) {2,}\S", protocol.__doc__, re.MULTILINE)
    return {name for row in rows for name in row.split(", ")} | EVERYWHERE


def first_line(documented) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0].rstrip()


def documented_in(module):
    """The module, and its public functions and classes with their public methods."""
    yield module
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", "") != module.__name__:
            continue
        if inspect.isroutine(value) or inspect.isclass(value):
            yield value
        if inspect.isclass(value):
            members = [m for n, m in vars(value).items() if not n.startswith("_")]
            yield from (m for m in members if inspect.isroutine(m) or isinstance(m, property))


def of_us(documented) -> bool:
    """A NamedTuple or a dataclass without a docstring has one of Python's."""
    doc, name = documented.__doc__, getattr(documented, "__name__", "")
    made = inspect.isclass(documented) and re.fullmatch(rf"{name}\(.*\)", doc or "", re.DOTALL)
    return bool(doc) and not made


def unexplained(function) -> list[str]:
    """Of more than two arguments of its own, those that the docstring does not name."""
    own = [p.name for p in parameters(function) if p.name not in shared_arguments()]
    doc = inspect.getdoc(function)
    return [n for n in own if not re.search(rf"\b{n}\b", doc)] if len(own) > 2 else []


@pytest.mark.parametrize("name", MODULES)
def test_the_first_line_is_a_sentence_or_a_formula_and_ends_with_a_full_stop(name):
    documented = filter(of_us, documented_in(importlib.import_module(MODULES[name])))
    lines = {getattr(d, "__qualname__", name): first_line(d) for d in documented}
    assert {where: line for where, line in lines.items() if not line.endswith(".")} == {}


@pytest.mark.parametrize("name", MODULES)
def test_every_public_class_and_function_has_a_docstring_of_its_own(name):
    named = vars(importlib.import_module(MODULES[name])).items()
    here = [
        (n, value)
        for n, value in named
        if not n.startswith("_")
        and getattr(value, "__module__", "") == MODULES[name]
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__name__ == n
    ]
    assert [n for n, value in here if not of_us(value)] == []


ROOT = Path(__file__).parents[1]
COMMANDS = [
    path
    for folder in ("experiments", "benchmarks")
    for path in sorted(ROOT.glob(f"{folder}/**/*.py"))
    if path.parent.name != "notebooks"  # whose cells are explained by the text between them
]
EXPLAINED_ONCE = {"Config", "main", "show"}  # by the docstrings of both packages


def public_nodes(tree: ast.AST):
    """(name, node) of the public functions and classes of a module, with their methods."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from ((f"{node.name}.{name}", inner) for name, inner in public_nodes(node))


def without_a_sentence(tree: ast.AST) -> list[str]:
    """The public names that have no docstring, or one without a full stop in its first line."""
    docs = {name: ast.get_docstring(node) for name, node in public_nodes(tree)}
    told = {name: doc for name, doc in docs.items() if doc or name not in EXPLAINED_ONCE}
    return [name for name, doc in told.items() if not (doc or "").split("\n")[0].endswith(".")]


def test_every_public_name_of_experiments_and_benchmarks_says_what_it_is():
    trees = {str(p.relative_to(ROOT)): ast.parse(p.read_text(encoding="utf-8")) for p in COMMANDS}
    found = {path: without_a_sentence(tree) for path, tree in trees.items()}
    assert {path: names for path, names in found.items() if names} == {}
    of_packages = ast.get_docstring(trees["experiments/__init__.py"])
    assert all(f"\n    {name} " in of_packages for name in EXPLAINED_ONCE)


LAZY = """
import sys
import dgm_jax
from dgm_jax import diffusion, flows, vae
assert "jax" not in sys.modules
from dgm_jax.flows.maf import maf
from dgm_jax.diffusion.denoiser import Denoiser
import dgm_jax.vae as again
assert flows.maf is maf and flows is dgm_jax.flows is sys.modules["dgm_jax.flows"]
assert callable(diffusion.denoiser) and diffusion.Denoiser is Denoiser
assert again is vae and vae.vae.__module__ == "dgm_jax.vae.vae"
"""


def test_packages_are_loaded_when_used_and_keep_functions_named_as_their_files():
    """maf.py has maf: to import the file must not put the module in the place of the function."""
    subprocess.run([sys.executable, "-c", LAZY], check=True, timeout=100)


def test_a_name_that_says_nothing_is_found():
    source = "def main(): 0\ndef f(): 'No end'\ndef _g(): 0\nclass C:\n  'C.'\n  def m(self): 0"
    assert without_a_sentence(ast.parse(source)) == ["f", "C.m"]


def test_arguments_are_explained_by_name_where_there_are_more_than_two():
    functions = {n: f for n, f in NAMES.items() if inspect.isfunction(f)}
    found = {name: unexplained(f) for name, f in functions.items()}
    assert {name: missing for name, missing in found.items() if missing} == {}


SHAPE = re.compile(r"\[[^\]]*\]|[Aa]ny shape")
NO_DATA = ("key", "cond", "params", "seed")  # of one shape everywhere, that of protocol


def takes_arrays(function) -> bool:
    """Whether an argument is an array of data, and not a key, a number or a function."""
    of_data = [str(p.annotation) for p in parameters(function) if not p.name.endswith(NO_DATA)]
    scalar = re.compile("Callable|float \\|")
    return any(re.search("Array|ndarray", a) and not scalar.search(a) for a in of_data)


def test_arrays_have_a_shape():
    functions = {n: f for n, f in NAMES.items() if inspect.isfunction(f)}
    shapes = {n: inspect.getdoc(f) for n, f in functions.items() if takes_arrays(f)}
    assert len(shapes) > 80
    assert [name for name, doc in shapes.items() if not SHAPE.search(doc)] == []


def test_every_constructor_of_a_model_names_its_source():
    """A paper with its year, or the lecture."""
    made = {
        name: f
        for name, f in NAMES.items()
        if name.startswith(CHAPTERS)
        and inspect.isfunction(f)
        and inspect.signature(f).return_annotation in MODELS
    }
    assert len(made) > 50
    assert [name for name, f in made.items() if not SOURCE.search(inspect.getdoc(f))] == []


def test_a_docstring_of_another_form_is_found():
    def wrong(params, one: int, two: int, three: int):
        """What one and three are"""

    assert first_line(wrong)[-1] != "." and not SOURCE.search(wrong.__doc__)
    assert unexplained(wrong) == ["two"]
    assert {"cond_shape", "hidden", "params", "key", "dim"} <= shared_arguments()


def options(function) -> list[str]:
    return [p.name for p in parameters(function) if p.kind is p.KEYWORD_ONLY]


def test_a_slip_in_an_option_is_told_the_nearest_one():
    """Of all functions with three or more, by the name of the function that was called."""
    many = {
        name: f
        for name, f in NAMES.items()
        if inspect.isfunction(f) and len(options(f)) >= 3 and not name.startswith("plots")
    }
    assert len(many) > 100
    for name, function in many.items():
        option = max(options(function), key=len)
        with pytest.raises(TypeError) as refused:
            function(**{option[:-1]: 1})
        assert f"Did you mean {option!r}?" in str(refused.value), name
        assert f"{name.split('.')[1]}()" in str(refused.value)


# ---------------------------------------------------------------------- what a model prints as
def test_models_and_distributions_print_what_they_are():
    made = autoregressive.made(5, likelihoods.bernoulli(), hidden=(8,), cond_shape=(3,))
    sizes = jax.eval_shape(made.init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(sizes))
    assert repr(made) == (
        f"Density: Autoregressive, event shape (5,), condition (3,), {count} parameters"
    )
    assert repr(nets.mlp(3, 4, hidden=())) == "Net: 16 parameters"
    assert repr(flows.diagonal(2)) == "Flow: Diagonal, 2 parameters"
    assert repr(inference.ppca(4, num_latents=2)) == (
        "LatentVariable: z Normal, event shape (2,), x Normal, event shape (4,), 13 parameters"
    )
    assert repr(distributions.standard_normal(3).dist({})) == (
        "Normal, event shape (3,), batch shape ()"
    )
    assert repr(likelihoods.categorical(4)) == "Conditional: levels 0..3, num_params 4"
    assert repr(likelihoods.gaussian()) == "Conditional: numbers, num_params 2"


def test_a_model_of_latent_variables_says_which_distributions_it_has():
    model = vae.linear_vae(3, 2, variance=1.0)
    for name, told in (
        ("dist", "no dist. p\\(x\\) is an integral over z"),
        ("decoder", "no decoder"),
    ):
        with pytest.raises(AttributeError, match=f"{told}.* It has prior"):
            getattr(model, name)
    assert not hasattr(model, "dist")


def test_a_model_of_integer_conditions_and_one_that_fails_print_too():
    noise = flows.variational_noise((2, 2, 1), 4, num_couplings=1, hidden=2, num_blocks=1)
    assert repr(noise).startswith("Density: ") and "condition (2, 2, 1)" in repr(noise)
    broken = protocol.Net(lambda key: 1 / 0, lambda params, x: x)
    assert repr(broken) == "Net: not described, since init fails"


def test_results_of_training_print_no_arrays():
    params = {"w": jax.numpy.zeros((2, 3)), "b": 0.0}
    trained = learning.Trained(params, params, params, [{"step": 0}, {"step": 40}], 1.23456)
    assert repr(trained) == "Trained: step 40, 1.23 s, 7 parameters"
    assert repr(learning.Loaded(None, params, 40, None)) == "Loaded: step 40, 7 parameters"
    recipe = {"builder": "experiments.flows.compare:build", "arguments": {}}
    assert repr(learning.Loaded(None, params, 40, recipe)).endswith(
        ", model by experiments.flows.compare:build"
    )
    state = learning.TrainState(jax.numpy.asarray(40), params, (), None)
    assert repr(state) == "TrainState: step 40, 7 parameters"
    assert repr(state._replace(ema=params)).endswith(", with their moving average")
    both = learning.PlayersState(state.step, {"critic": state, "generator": state})
    assert repr(both) == "PlayersState: step 40, parameters: critic 7, generator 7"
    moved = learning.LangevinState(state.step, jax.numpy.zeros((4, 2)))
    assert repr(moved) == "LangevinState: step 40, samples (4, 2)"


def test_data_sets_print_their_shapes_and_no_rows():
    digits = data.load("digits")
    shown = repr(digits).splitlines()
    assert shown[0] == "Dataset digits: levels 0..16, labels 0..9"
    assert (
        f"valid int32 {digits.valid.shape}" in shown[1] and shown[2].strip() == digits.description
    )
    assert repr(data.load("breast_cancer")).startswith(
        "Dataset breast_cancer: numbers, labels 0..1"
    )
    assert repr(digits._replace(labels=None)).startswith("Dataset digits: levels 0..16\n")
    several = {split: np.zeros((2, 5), np.int32) for split in ("train", "valid", "test")}
    assert "levels 0..16, 5 labels a row" in repr(digits._replace(labels=several))
    shapes = "Factored shapes: int32 (960, 16, 16), of 3 shape × 5 size × 8 x × 8 y"
    assert repr(data.load_factored("shapes")).splitlines()[0] == shapes


def test_no_public_type_prints_the_addresses_of_functions():
    for package in PUBLIC:
        for name, kind in vars(importlib.import_module(f"dgm_jax.{package}")).items():
            if (
                inspect.isclass(kind)
                and issubclass(kind, tuple)
                and "Callable" in str(kind.__annotations__)
            ):
                assert kind.__repr__.__module__.startswith("dgm_jax"), name
    assert repr(objectives.non_saturating()) == "Game: non_saturating"
    assert repr(bijectors.affine()) == "Law: affine, num_params 2"
    recipe = learning.Recipe(nets.mlp, {"num_outputs": 2})
    assert repr(recipe) == "Recipe: mlp(num_outputs=2)"
    assert repr(data.moons()) == "Toy: entropy 2.4848"
    codebook = quantized.gradient_codebook(3, dim=4)  # init makes (params, state)
    assert repr(codebook) == "Quantiser: 12 parameters"
