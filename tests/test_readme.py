"""The README's promises, read from the README itself, so that they cannot rot."""

import collections
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker, language):
    return re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL).group(1)


ASIDE = """
print(x.shape)
x = toy.sample(jax.random.key(3), 10_000)
import numpy
print(0.5 * numpy.linalg.slogdet(2 * numpy.pi * numpy.e * numpy.cov(numpy.asarray(x).T))[1])
"""
QUICK_START = block("quick start", "python")


def numbers(said):
    """The loss that the quick start tells, and the entropies of the truth and of one Gaussian."""
    said, shape, gaussian = said.splitlines()
    loss, *_, entropy = said.split()
    assert shape == "(1000, 2)"
    return float(loss), float(entropy), float(gaussian)


def test_the_quick_start_is_twelve_lines_and_beats_a_gaussian_in_a_fifth_of_its_steps(capsys):
    assert len([line for line in QUICK_START.splitlines() if line.strip()]) <= 12
    assert QUICK_START.count("num_steps=1000") == 1
    exec(QUICK_START.replace("num_steps=1000", "num_steps=200") + ASIDE, {})
    loss, entropy, gaussian = numbers(capsys.readouterr().out)
    assert entropy < loss < gaussian - 0.1


FROM_AN_ARRAY = block("from an array", "python")


def bits_of_histograms(digits):
    """Of each pixel, of all training digits, on the test digits: bits a pixel."""
    rows = {split: getattr(digits, split).reshape(-1, 64) for split in ("train", "test")}
    counts = np.stack([(rows["train"] == level).sum(0) for level in range(17)]) + 0.03
    shares = counts / counts.sum(0)
    return -np.log2(np.take_along_axis(shares, rows["test"], 0)).mean()


def test_the_fit_to_an_array_beats_histograms_with_a_smaller_net_in_fewer_steps(capsys):
    assert len([line for line in FROM_AN_ARRAY.splitlines() if line.strip()]) <= 12
    small = FROM_AN_ARRAY.replace("(500,)", "(40,)").replace(
        ", cond=digits", ", num_steps=100, cond=digits"
    )
    names = {}
    exec(small, names)
    bits, words = capsys.readouterr().out.split(" ", 1)
    histogram = bits_of_histograms(names["digits"])
    assert words.rstrip().endswith(f"{histogram:.2f}")
    assert float(bits) < histogram - 0.2
    assert names["samples"].shape == (3, 10, 64) and names["samples"].max() <= 16


def test_the_vae_learns_something_with_smaller_nets_in_few_steps(capsys):
    """Of 17 levels the uniform distribution has 181 nats a picture."""
    code = block("a vae", "python")
    small = code.replace("(256,)", "(32,)").replace("=1000", "=60").replace("=500", "=5")
    exec(small, {})
    nats, told = capsys.readouterr().out.split(" ", 1)
    assert "K = 5" in told and float(nats) > -150


@pytest.mark.full
@pytest.mark.timeout(600)
def test_the_fit_to_an_array_learns_digits():
    done = subprocess.run(
        [sys.executable, "-c", FROM_AN_ARRAY],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
    assert 1.8 < float(done.stdout.split()[0]) < 1.97


@pytest.mark.full
def test_the_quick_start_learns_its_density():
    """In a process of its own, compiled as users have it and not as tests do."""
    done = subprocess.run(
        [sys.executable, "-c", QUICK_START + ASIDE],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
    loss, entropy, gaussian = numbers(done.stdout)
    # Between the truth and one Gaussian with the covariance of the truth.
    assert entropy - 0.05 < loss < entropy + 0.15 < gaussian


SYSTEMS = [line for line in README.splitlines() if "](dgm_jax/" in line and line.startswith("| ")]
PARTS = {  # of models, and no system of the lecture by themselves
    "autoregressive/density.py",
    "flows/autoregression.py",
    "flows/elementwise.py",
    "inference/conjugate.py",
    "inference/gaussian_mixture.py",
    "disentangled/codes.py",
    "quantized/vq.py",
}


@pytest.mark.parametrize("line", SYSTEMS)
def test_every_system_has_a_source_that_defines_it_and_tests(line):
    for name, file in re.findall(r"\[`([\w.]+)`\]\(dgm_jax/(\S+)\.py\)", line):
        package, function = name.rsplit(".", 1)
        found = getattr(importlib.import_module(f"dgm_jax.{package}"), function)
        module = found if inspect.ismodule(found) else inspect.getmodule(found)
        assert module.__name__ == "dgm_jax." + file.replace("/", ".")
    assert re.search(r"\]\(tests/(\S+/)?test_\w+\.py\)", line)
    assert re.search(r"\]\(experiments/notebooks/\w+\.ipynb\)", line)


@pytest.mark.parametrize(
    "chapter",
    [
        "autoregressive",
        "flows",
        "inference",
        "vae",
        "gans",
        "disentangled",
        "quantized",
        "diffusion",
    ],
)
def test_every_file_of_a_chapter_has_a_line(chapter):
    known = set(re.findall(r"\]\(dgm_jax/(\S+\.py)\)", README)) | PARTS
    package = importlib.import_module(f"dgm_jax.{chapter}")
    for name, found in inspect.getmembers(package, inspect.isfunction):
        file = inspect.getmodule(inspect.unwrap(found)).__name__.removeprefix("dgm_jax.")
        assert name.startswith("_") or file.replace(".", "/") + ".py" in known, name


def test_the_files_of_a_run_have_the_names_that_experiments_give_them():
    told = re.search(r"<!-- files of a run -->\n\n(.*?)\n\n", README, re.DOTALL).group(1)
    code = [f.read_text(encoding="utf-8") for f in ROOT.glob("experiments/*/*.py")]
    for picture in re.findall(r"`([a-z]+)(?:-TOY)?\.png`", told):
        assert sum(f'"{picture}' in text or f"{picture}-{{" in text for text in code) > 1, picture
    of_models = (ROOT / "experiments" / "fitting.py").read_text(encoding="utf-8")
    of_models += "".join(f.read_text(encoding="utf-8") for f in ROOT.glob("dgm_jax/learning/*.py"))
    keys = re.findall(r"`((?:test|num|best|train|valid|grad)_\w+|step|loss|skipped)`", told)
    assert len(keys) == 11 and all(f'"{key}"' in of_models for key in keys), keys


def sections(text):
    """{anchor: text} of each heading, up to the next, by the names that GitHub gives them."""
    found, times = {}, collections.Counter()
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        name = re.sub(r"[^\w\- ]", "", part.partition("\n")[0].lower()).replace(" ", "-")
        found[f"{name}-{times[name]}" if times[name] else name] = part
        times[name] += 1
    return found


RECORDS = sections((ROOT / "experiments" / "RESULTS.md").read_text(encoding="utf-8"))


def test_links_lead_to_files_of_the_project():
    for target in re.findall(r"\]\((?!http)(.*?)\)", README):
        file, _, anchor = target.partition("#")
        assert (ROOT / file).exists(), target
        assert not anchor or anchor in RECORDS, target
