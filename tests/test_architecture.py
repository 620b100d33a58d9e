"""The floors: a module imports only from strictly lower floors, or from its own package.

`violations(path, source)` is a pure function, so each rule is first shown to fail on a planted
violation and then held over the files of the repository.
"""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# To add a package or a module to dgm_jax, give it its floor here.
FLOORS = {
    0: ("protocol", "checks", "arrays"),
    1: ("measure",),
    2: ("bijectors", "distributions", "nets", "data", "runs"),
    3: ("combinators", "likelihoods", "objectives"),
    4: ("metrics", "plots"),  # a metric is what an objective says of a whole set
    5: ("learning",),
    6: (
        "autoregressive",
        "inference",
        "flows",
        "vae",
        "disentangled",
        "gans",
        "quantized",
        "diffusion",
    ),
}
FLOOR_OF = {unit: floor for floor, units in FLOORS.items() for unit in units}

# library: the only files of dgm_jax that may import it
HOMES = {
    "blackjax": ("dgm_jax/metrics/annealed.py",),
    "flax": ("dgm_jax/nets/adapter.py", "experiments/notebooks/own_data.py"),  # a net of one's own
    "diffrax": ("dgm_jax/bijectors/continuous.py", "dgm_jax/diffusion/sde.py"),
    "lineax": ("dgm_jax/diffusion/sde.py",),
    "optax": ("dgm_jax/learning/",),
    "orbax": ("dgm_jax/learning/",),
    "matplotlib": ("dgm_jax/plots.py",),
}
SHUT_OUT = {"distrax": "dgm_jax/nets/", "importlib.import_module": "dgm_jax/"}  # name: not in here
BY_NAME = (  # ... but in these
    "dgm_jax/__init__.py",  # the table of contents, whose names are its own
    "dgm_jax/learning/recipes.py",  # the builder that a run names, if it is marked as one
)

TOP_LEVEL = {
    "pyproject.toml",
    "requirements.txt",
    "README.md",
    "dgm_jax",
    "experiments",
    "tests",
    "benchmarks",
}


# Modules without a test file of their own, and where they are tested instead.
TESTED_ELSEWHERE = {
    "protocol.py": "nouns only: tests/contracts hold what they promise",
    "bijectors/factor_out.py": "tests/bijectors/test_squeeze.py, beside what it moves",
    "bijectors/implicit.py": "tests/bijectors/test_autoregressive.py, through its one user",
    "bijectors/sylvester.py": "tests/flows/test_sylvester.py, in its three forms",
    "disentangled/beta_vae.py": "tests/disentangled/test_tc_vae.py, all losses in one program",
    "disentangled/codes.py": "tests/disentangled/test_infogan.py, whose codes these are",
    "disentangled/terms.py": "tests/disentangled/test_tc_vae.py",
    "distributions/levels.py": "tests/contracts/test_levels.py",
    "flows/dequantization.py": "tests/objectives/test_dequantization.py",
    "nets/causal/affine.py": "tests/nets/causal/test_made.py",
    "nets/causal/attention.py": "tests/nets/causal/test_transformer.py",
    "nets/causal/channels.py": "tests/nets/causal/test_pixelcnn_pp.py",
    "nets/causal/conditions.py": "tests/nets/causal/test_stepwise.py",
    "nets/causal/gates.py": "tests/nets/causal/test_wavenet.py",
    "nets/causal/linearized.py": "tests/bijectors/test_autoregressive.py, through its one user",
    "nets/causal/substitution.py": "tests/nets/causal/test_made.py",
    "nets/causal/triangular.py": "tests/nets/causal/test_made.py",
    "nets/players.py": "tests/nets/test_residual.py and test_strided.py, in what players refuse",
    "vae/seen.py": "tests/vae/test_hierarchy.py and test_ladder.py, through its users",
    "vae/topdown.py": "tests/vae/test_ladder.py, whose path it is",
    "vae/views.py": "tests/vae/test_ladder.py, whose distributions these are",
}
# Tests of no one module of dgm_jax.
OF_NO_MODULE = {
    "bijectors/test_adjoint.py": "of the adjoints of bijectors/continuous.py",
    "test_architecture.py": "of the repository",
    "test_bad_inputs.py": "of what every public function refuses",
    "test_budget.py": "of tests/budget.py",
    "test_docs.py": "of .docs, which builds the reference",
    "test_helpers.py": "of tests/helpers.py and tests/conftest.py",
    "test_interface.py": "of every public signature",
    "test_readme.py": "of README.md",
}
NOT_OF_DGM_JAX = (
    "benchmarks",
    "contracts",
    "experiments",
    "faults",
    "multiprocess",
    "reliability",
    "sweep",
)


# ------------------------------------------------------------------------------- the rules
def imports(path: str, tree: ast.Module) -> list[str]:
    """Full dotted names of all that is imported, in functions too: `from ..nets import mlp` in
    dgm_jax/flows/maf.py is dgm_jax.nets.mlp."""
    package = path.split("/")[:-1]
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = above + (node.module.split(".") if node.module else [])
            names += [".".join([*base, alias.name]) for alias in node.names]
    return names


def within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def violations(path: str, source: str) -> list[str]:
    """What the file at `path` (from the repository's root) breaks, one line each."""
    tree = ast.parse(source)
    names = imports(path, tree)
    found = [] if path == "dgm_jax/__init__.py" else re_export_violations(path, tree)
    if path.startswith("dgm_jax/"):
        found += [v for name in names for v in floor_violations(path, name)]
    if path.startswith(("dgm_jax/", "experiments/")):
        found += [v for name in names for v in library_violations(path, name)]
    found += absolute_violations(path, tree)
    if path.startswith("dgm_jax/"):
        found += unnamed_types(path, tree)
    found += [v for name in names for v in stranger_violations(path, name)]
    if not path.startswith("tests/"):
        found += raise_violations(path, tree)
    if not path.startswith("tests/"):
        found += [f"{path} imports {n}: only tests do" for n in names if within(n, "tests")]
    return found


def floor_violations(path: str, name: str) -> list[str]:
    here = path.split("/")[1].removesuffix(".py")
    if here == "__init__":
        return []
    if here not in FLOOR_OF:
        return [f"{path}: {here} has no floor; add it to FLOORS"]
    if within(name, "experiments") or within(name, "benchmarks"):
        return [f"{path} imports {name}: the package does not know those who use it"]
    if not within(name, "dgm_jax"):
        return []
    there = (name.split(".") + [""])[1]
    if there not in FLOOR_OF:
        return [f"{path} imports {name}: {there or 'dgm_jax itself'} has no floor"]
    if there != here and FLOOR_OF[there] >= FLOOR_OF[here]:
        return [f"{path} (F{FLOOR_OF[here]}) imports {name} (F{FLOOR_OF[there]})"]
    return []


def raise_violations(path: str, tree: ast.Module) -> list[str]:
    """What the user can mend has a type of its own, by which a command knows it."""
    raised = [node for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    calls = [node.exc for node in raised if isinstance(node.exc, ast.Call)]
    return [
        f"{path}:{call.lineno} raises ValueError: checks.InputError is for wrong input"
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "ValueError"
    ]


def unnamed_types(path: str, tree: ast.Module) -> list[str]:
    """Arrays and keys have their names of dgm_jax.protocol in annotations."""
    annotated = [getattr(node, "annotation", None) for node in ast.walk(tree)]
    annotated += [getattr(node, "returns", None) for node in ast.walk(tree)]
    parts = [part for node in annotated if node is not None for part in ast.walk(node)]
    return [
        f"{path}:{part.lineno} has a type without a name: Array, Key, ... of dgm_jax.protocol"
        for part in parts
        if isinstance(part, ast.Attribute) and ast.unparse(part) in ("jax.Array", "jnp.ndarray")
    ]


def stranger_violations(path: str, name: str) -> list[str]:
    """Experiments and benchmarks do not know each other, and of tests theirs alone know them."""
    top, folder = (path.split("/") + [""])[:2]
    strangers = {"experiments": ("benchmarks",), "benchmarks": ("experiments",)}.get(top, ())
    if top == "tests":
        strangers = {"experiments", "benchmarks"} - {folder}
    return [f"{path} imports {name}" for stranger in strangers if within(name, stranger)]


def absolute_violations(path: str, tree: ast.Module) -> list[str]:
    """Inside of the package imports are relative, outside of it they are absolute."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    inside = path.startswith("dgm_jax/")
    return [
        f"{path}:{node.lineno} is {'absolute' if inside else 'relative'}"
        for node in nodes
        if (inside and within(node.module or "", "dgm_jax")) or (not inside and node.level)
    ]


def library_violations(path: str, name: str) -> list[str]:
    homeless = [
        f"{path} imports {name}: only {', '.join(homes)} may"
        for library, homes in HOMES.items()
        if within(name, library)
        and not path.startswith(homes)
        # experiments may choose an optimiser, write checkpoints and draw
        and not (path.startswith("experiments/") and library in ("optax", "orbax", "matplotlib"))
    ]
    shut_out = [
        f"{path} imports {name}: not inside {folder}"
        for what, folder in SHUT_OUT.items()
        if (within(name, what) or within(what, name))
        and path.startswith(folder)
        and path not in BY_NAME
    ]
    return homeless + shut_out


def re_export_violations(path: str, tree: ast.Module) -> list[str]:
    """An __init__.py is a docstring and `from .x import X as X`; no other file re-exports."""

    def re_exports(node):
        return isinstance(node, ast.ImportFrom) and all(a.asname == a.name for a in node.names)

    if not path.endswith("__init__.py"):
        nodes = [n for n in ast.walk(tree) if re_exports(n)]
        return [f"{path}:{n.lineno} re-exports; only __init__.py does" for n in nodes]
    body = tree.body[1:] if ast.get_docstring(tree) is not None else tree.body
    return [
        f"{path}:{node.lineno} is not `from .x import X as X`"
        for node in body
        if not (re_exports(node) and node.level)
    ]


def name_of_test(module: str) -> str:
    """bijectors/cdf.py -> bijectors/test_cdf.py"""
    *folders, name = module.split("/")
    return "/".join([*folders, f"test_{name}"])


def unpaired(modules: list[str], tests: list[str]) -> tuple[set[str], set[str]]:
    """Modules without a test of that name, and tests without a module (or package) of that name."""
    wanted = {name_of_test(module): module for module in modules}
    packages = {name_of_test("/".join(module.split("/")[:-1]) + ".py") for module in modules}
    untested = {module for test, module in wanted.items() if test not in tests}
    return untested, {test for test in tests if test not in wanted.keys() | packages}


def addresses(text: str) -> list[str]:
    """Addresses of package registries, which belong to a machine's settings."""
    return re.findall(r"https?://\S*(?:pypi|pythonhosted|/simple\b)\S*", text)


# ------------------------------------------------------------------- each rule fails once
PLANTED = {
    "a lower floor imports a higher": (
        "dgm_jax/bijectors/linear.py",
        "from ..combinators import compose",
    ),
    "a floor imports itself": ("dgm_jax/bijectors/linear.py", "from dgm_jax.nets import mlp"),
    "... also F3": ("dgm_jax/plots.py", "from .metrics import mmd"),
    "... also F0": ("dgm_jax/checks.py", "from .protocol import Net"),
    "objectives import learning": (
        "dgm_jax/objectives/bounds.py",
        "import dgm_jax.learning.gradient",
    ),
    "a chapter imports a chapter": ("dgm_jax/vae/iaf.py", "from ..flows.maf import maf"),
    "... as a module": ("dgm_jax/vae/iaf.py", "from .. import flows"),
    "... in a function": ("dgm_jax/vae/iaf.py", "def f():\n    from dgm_jax import flows"),
    "... through the root": ("dgm_jax/vae/iaf.py", "from dgm_jax import maf"),
    "... through all of dgm_jax": ("dgm_jax/vae/iaf.py", "import dgm_jax"),
    "... from a folder in a chapter": ("dgm_jax/vae/deep/er.py", "from ...flows import maf"),
    "... in __init__": ("dgm_jax/vae/__init__.py", "from ..flows import maf as maf"),
    "a package without a floor": ("dgm_jax/utils/misc.py", "import jax"),
    "import of a package without a floor": ("dgm_jax/vae/iaf.py", "from ..utils import misc"),
    "nets imports distrax": ("dgm_jax/nets/mlp.py", "import distrax"),
    "bijectors imports flax": ("dgm_jax/bijectors/linear.py", "import flax.linen as nn"),
    "distributions imports flax": ("dgm_jax/distributions/mix.py", "from flax import linen"),
    "flax outside the adapter": ("dgm_jax/nets/mlp.py", "from flax import linen as nn"),
    "flax in an experiment": ("experiments/flows/maf.py", "import flax"),
    "diffrax outside continuous": ("dgm_jax/flows/ffjord.py", "import diffrax"),
    "optax outside learning": ("dgm_jax/flows/maf.py", "import optax"),
    "orbax outside learning": ("dgm_jax/vae/vae.py", "from orbax.checkpoint import v1"),
    "blackjax outside annealed": ("dgm_jax/metrics/importance.py", "import blackjax"),
    "matplotlib outside plots": ("dgm_jax/metrics/codes.py", "import matplotlib.pyplot as plt"),
    "a look-up by name": ("dgm_jax/flows/maf.py", "import importlib"),
    "dgm_jax imports an experiment": ("dgm_jax/learning/loop.py", "import experiments.flows"),
    "dgm_jax imports a benchmark": ("dgm_jax/learning/loop.py", "from benchmarks import timing"),
    "an experiment imports a test": ("experiments/run.py", "from tests.helpers import perturb"),
    "an experiment imports a benchmark": (
        "experiments/flows/a.py",
        "from benchmarks import passes",
    ),
    "a benchmark imports an experiment": ("benchmarks/passes.py", "import experiments.fitting"),
    "a test of the library imports a benchmark": (
        "tests/nets/test_made.py",
        "from benchmarks.passes import build",
    ),
    "... or an experiment": ("tests/flows/test_maf.py", "from experiments.flows import toy"),
    "a test of an experiment imports a benchmark": (
        "tests/experiments/test_toy.py",
        "from benchmarks import passes",
    ),
    "wrong input has no type of its own": ("dgm_jax/flows/maf.py", "raise ValueError('dim')"),
    "... in an experiment": ("experiments/flows/a.py", "def main():\n    raise ValueError('x')"),
    "an array without a name": ("dgm_jax/flows/maf.py", "def f(key: jax.Array): pass"),
    "... as a result": ("dgm_jax/flows/maf.py", "def f() -> tuple[jnp.ndarray, int]: pass"),
    "__init__ holds code": ("dgm_jax/nets/__init__.py", '"""Nets."""\nx = 1'),
    "__init__ imports without export": ("dgm_jax/nets/__init__.py", "from .dense import mlp"),
    "__init__ renames": ("dgm_jax/nets/__init__.py", "from .dense import mlp as net"),
    "__init__ exports a stranger": ("dgm_jax/nets/__init__.py", "from jax import jit as jit"),
    "an absolute import inside": ("dgm_jax/flows/maf.py", "from dgm_jax.nets import made"),
    "a relative import outside": ("benchmarks/passes.py", "from . import peers"),
    "a re-export elsewhere": ("dgm_jax/nets/made.py", "from .dense import mlp as mlp"),
}

ALLOWED = {
    "lower floors": ("dgm_jax/flows/maf.py", "import jax\nfrom ..nets import made"),
    "lower floors, as modules": ("dgm_jax/flows/maf.py", "from .. import plots, protocol"),
    "wrong input": ("dgm_jax/flows/maf.py", "from .. import checks\nraise checks.InputError('x')"),
    "siblings": ("dgm_jax/flows/maf.py", "from .iaf import iaf\nfrom . import nice"),
    "siblings of a folder": ("dgm_jax/vae/deep/er.py", "from .a import a\nfrom ..b import b"),
    "homes": ("dgm_jax/nets/adapter.py", "from flax import linen as nn"),
    "learning": ("dgm_jax/learning/gradient.py", "import optax\nfrom orbax.checkpoint import v1"),
    "experiments": ("experiments/flows/a.py", "import optax\nfrom dgm_jax import flows, vae"),
    "tests": ("tests/nets/test_adapter.py", "import flax\nfrom tests.helpers import perturb"),
    "tests of an experiment": ("tests/experiments/test_a.py", "from experiments.flows import toy"),
    "tests of a benchmark": ("tests/benchmarks/test_a.py", "from benchmarks import passes"),
    "__init__": ("dgm_jax/nets/__init__.py", '"""Nets."""\n\nfrom .dense import mlp as mlp'),
    "an empty __init__": ("dgm_jax/nets/__init__.py", ""),
    "a name that begins like another": ("dgm_jax/nets/mlp.py", "import optax_like, distraxed"),
    "the version of a package": ("dgm_jax/learning/loop.py", "from importlib import metadata"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name):
    assert len(violations(*PLANTED[name])) >= 1


@pytest.mark.parametrize("name", ALLOWED)
def test_what_the_floors_allow_passes(name):
    assert violations(*ALLOWED[name]) == []


def test_a_module_without_a_test_and_a_test_without_a_module_are_found():
    modules = ["a/b.py", "a/c.py", "d.py"]
    assert unpaired(modules, ["a/test_b.py", "a/test_c.py", "test_d.py", "test_a.py"]) == (
        set(),
        set(),
    )
    assert unpaired(modules, ["a/test_b.py", "test_c.py", "test_d.py"]) == (
        {"a/c.py"},
        {"test_c.py"},
    )


def test_an_address_of_a_registry_is_found():
    for host in ("pypi.org/project/jax", "files.pythonhosted.org/x", "mirror.example/simple/jax"):
        assert addresses(f"see https://{host} for more") == [f"https://{host}"]
    assert addresses("https://arxiv.org/abs/1502.03509 on a pypi page") == []


# --------------------------------------------------------------------- ... and none stands
def python_files(*folders: str) -> list[str]:
    found = (file for folder in folders for file in (ROOT / folder).rglob("*.py"))
    return sorted(file.relative_to(ROOT).as_posix() for file in found)


def tracked() -> list[str]:
    git = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if git.returncode or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return [name for name in git.stdout.split("\0") if name]


@pytest.mark.parametrize("path", python_files("dgm_jax", "experiments", "benchmarks", "tests"))
def test_no_file_breaks_the_floors(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


def test_every_part_of_dgm_jax_has_a_floor():
    parts = {path.split("/")[1].removesuffix(".py") for path in python_files("dgm_jax")}
    assert parts - {"__init__"} <= set(FLOOR_OF)


def test_the_test_of_a_module_has_its_name():
    modules = [path.removeprefix("dgm_jax/") for path in python_files("dgm_jax")]
    modules = [module for module in modules if not module.endswith("__init__.py")]
    tests = [path.removeprefix("tests/") for path in python_files("tests") if "/test_" in path]
    tests = [test for test in tests if not test.startswith(NOT_OF_DGM_JAX)]
    untested, of_no_module = unpaired(modules, tests)
    assert untested <= TESTED_ELSEWHERE.keys()
    assert of_no_module <= OF_NO_MODULE.keys()
    named = {
        word for where in TESTED_ELSEWHERE.values() for word in re.findall(r"tests/\S+py", where)
    }
    assert all((ROOT / file).exists() for file in named)


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_finds_nothing(command):
    ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
    done = subprocess.run(ruff, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def types_checked(*paths: Path | str) -> subprocess.CompletedProcess:
    ty = [sys.executable, "-m", "ty", "check", "--python", sys.prefix, "--output-format", "concise"]
    return subprocess.run([*ty, *paths], cwd=ROOT, capture_output=True, text=True)


def test_the_type_checker_finds_nothing():
    done = types_checked("dgm_jax", "experiments", "benchmarks")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wrong_type_is_found(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from dgm_jax import nets\n\nnets.mlp('2', 3).forward\n")
    found = types_checked(wrong).stdout
    assert all(kind in found for kind in ("invalid-argument-type", "missing-attribute")), found


@pytest.mark.parametrize("path", python_files("dgm_jax"))
def test_every_module_imports(path):
    importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


def test_the_top_level_holds_only_what_everyone_expects():
    tops = {name.split("/")[0] for name in tracked()}
    assert {top for top in tops if not top.startswith(".")} <= TOP_LEVEL


def test_requirements_hold_versions_and_no_addresses():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split("\n")
    pin = re.compile(r"[\w.-]+(\[[\w,-]+\])?==[\w.]+( ; .+)?|#.*|")
    assert [line for line in lines if not pin.fullmatch(line) or "://" in line] == []


def test_no_text_names_a_registry():
    texts = [n for n in tracked() if n.endswith((".py", ".md", ".toml", ".txt", ".ci/run"))]
    there = [ROOT / name for name in texts if (ROOT / name).exists()]  # not deleted since
    assert there
    assert [found for file in there for found in addresses(file.read_text(encoding="utf-8"))] == []
