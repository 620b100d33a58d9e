"""The API reference: what its pages are made of, and that no name or link of it leads nowhere."""

import importlib
import inspect
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / ".docs"))
import library  # noqa: E402
import pages  # noqa: E402
import plain  # noqa: E402

HERE = library.Library(ROOT / "dgm_jax")


def marked(docstring: str, *arguments: str) -> str:
    """A docstring as reStructuredText, without the separators and empty lines."""
    context = plain.Context(frozenset(arguments), {"maf": "dgm_jax.flows.maf"}.get)
    lines = plain.text(inspect.cleandoc(docstring), context)
    return "\n".join(line.replace("\\ ", "") for line in lines if line.strip())


@pytest.mark.parametrize(
    "prose, expected",
    [
        ("p(x_i | x_<i)", r"p(x:sub:`i` \| x:sub:`\<i`)"),
        ("x_{i-1} in R^{d×k}", "x:sub:`i-1` in R:sup:`d×k`"),
        ("e^(t-1), K^min(i,k), u̇_n", "e:sup:`(t-1)`, K:sup:`min(i,k)`, u̇:sub:`n`"),
        ("max_D σ_t² of conv_{1×k}", "max:sub:`D` σ:sub:`t`² of conv:sub:`1×k`"),
        ("[*batch, *shape] is *one* |x|", r"[\*batch, \*shape] is *one* \|x\|"),
        ("`maf` and `other`", ":py:obj:`maf <dgm_jax.flows.maf>` and ``other``"),
        ("log softmax(a)_k, dB_t / dt", "log softmax(a):sub:`k`, dB:sub:`t` / dt"),
        ("e^{-B_t} in 0..num_levels-1", "e:sup:`-Bₜ` in 0..``num_levels``-1"),
        ("K^x_i, R^num_rows, T_#", r"K:sup:`xᵢ`, R:sup:`num\_rows`, T:sub:`#`"),
        ("num_rows of log_prob(x_1)", "``num_rows`` of ``log_prob(x_1)``"),
        ("law: τ, of order, law and law", "``law``: τ, of ``order``, ``law`` and ``law``"),
    ],
)
def test_formulas_names_and_stars_of_a_sentence(prose, expected):
    assert marked(f"So {prose}.", "law", "order") == f"So {expected}."


def test_arguments_bullets_programs_formulas_and_tables_of_a_docstring():
    docstring = """One line.

        hidden, law: the widths,
            and τ
        cond: c
        Starts as 0. Cost: one pass.

        - a point
          that goes on

            flow = maf(5)

        in

            x = Σ_i z_i

        and

            name   what it is
                   and more
            other  the rest
        """
    assert marked(docstring, "hidden", "law", "cond") == inspect.cleandoc(
        """
        One line.
        ``hidden``, ``law``
          the widths, and τ
        ``cond``
          c
        Starts as 0. Cost: one pass.
        - a point that goes on
        .. code-block:: python
           flow = maf(5)
        in
        .. rst-class:: formula
        | x = Σ:sub:`i` z:sub:`i`
        and
        .. list-table::
           :class: plain
           :widths: auto
           * - ``name``
             - what it is and more
           * - ``other``
             - the rest
        """
    )


def test_an_argument_below_a_full_line_is_an_entry_of_its_own():
    full = "cond: ".ljust(95, "c") + "."
    found = marked(f"One line.\n\n{full}\nlaw: the law", "law", "cond")
    assert found == f"One line.\n``cond``\n  {full[6:]}\n``law``\n  the law"


def test_every_name_in_a_docstring_that_looks_like_one_of_the_library_is(tmp_path):
    files = pages.write(ROOT, tmp_path)
    assert "tests/flows/test_maf.py" in files and all((ROOT / file).exists() for file in files)
    page = (tmp_path / "flows/maf.rst").read_text("utf-8")
    assert ".. py:currentmodule:: dgm_jax.flows\n" in page
    assert ".. py:function:: maf(dim: int, *, num_layers: int=5, " in page


@pytest.mark.parametrize("package", ["flows", "nets", "learning"])
def test_names_that_users_call_are_documented_at_the_path_by_which_they_call_them(package):
    module = importlib.import_module(f"dgm_jax.{package}")
    called = {name for name, what in vars(module).items() if not inspect.ismodule(what)}
    called = {f"dgm_jax.{package}.{name}" for name in called if not name.startswith("_")}
    assert called <= {thing.path for thing in HERE.public.values()}


def test_a_name_that_is_none_is_found():
    module = HERE.modules["dgm_jax.flows.maf"]
    again = library.Library(ROOT / "dgm_jax")
    assert again.find("flows.maf(5).forward", module) == "dgm_jax.flows.maf"
    assert again.find("metrics.features", module) == "dgm_jax.metrics.features"
    assert again.find("nets.causal.time", module) == "/nets/causal/time"
    assert again.find("jax.jit", module) is None and again.find("metrics.jsonl", module) is None
    assert again.broken == []
    assert again.find("flows.mav", module) is None and "flows.mav" in again.broken[0]


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    dead_links = runpy.run_path(str(ROOT / ".docs/__main__.py"))["dead_links"]
    (tmp_path / "a.html").write_text('<p id="x"> <a href="#x"> <a href="b.html#y"> <a href="c">')
    (tmp_path / "b.html").write_text('<p id="z"> <a href="a.html#x"> <a href="https://far.off">')
    assert dead_links(tmp_path) == ["a.html -> b.html#y", "a.html -> c"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_reference_is_built_without_a_warning_and_without_a_dead_link(tmp_path):
    pytest.importorskip("sphinx", reason="needs the extra docs")
    done = subprocess.run(
        [sys.executable, ".docs", str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "flows/maf.html").exists()
