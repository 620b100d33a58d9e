"""The README's promises, read from the README itself, so that they cannot rot."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker, language):
    return re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL).group(1)


ASIDE = """
print(x.shape)
x = toy.sample(jax.random.key(3), 10_000)
print(0.5 * jax.numpy.linalg.slogdet(2 * jax.numpy.pi * jax.numpy.e * jax.numpy.cov(x.T))[1])
"""


def test_the_quick_start_is_twelve_lines_and_learns_its_density():
    """In a process of its own, compiled as users have it and not as tests do."""
    code = block("quick start", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    done = subprocess.run(
        [sys.executable, "-c", code + ASIDE],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": ""},
    )
    assert done.returncode == 0, done.stderr
    said, shape, gaussian = done.stdout.splitlines()
    loss, _, entropy = said.split()
    assert shape == "(1000, 2)"
    # Between the truth and one Gaussian with the covariance of the truth.
    assert float(entropy) - 0.05 < float(loss) < float(entropy) + 0.15 < float(gaussian)


@pytest.mark.parametrize("row", re.findall(r"^\| .*\| `(.*?)` \|(.*)\|$", README, re.MULTILINE))
def test_every_module_and_experiment_of_the_table_exists(row):
    module, experiment = row
    package, name = module.rsplit(".", 1)
    assert hasattr(importlib.import_module(f"dgm_jax.{package}"), name)
    for name in re.findall(r"`(.*?)`", experiment):
        assert (ROOT / (name.replace(".", "/") + ".py")).is_file()


def test_links_lead_to_files_of_the_project():
    for target in re.findall(r"\]\((?!http)(.*?)\)", README):
        assert (ROOT / target).exists(), target
