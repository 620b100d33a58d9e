"""The README's promises, read from the README itself, so that they cannot rot."""

import importlib
import re
from pathlib import Path

import jax.numpy as jnp
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(marker, language):
    return re.search(rf"<!-- {marker} -->\n```{language}\n(.*?)```", README, re.DOTALL).group(1)


def test_the_quick_start_is_twelve_lines_and_learns_its_density(capsys):
    code = block("quick start", "python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["x"].shape == (1000, 2)
    loss, _, entropy = capsys.readouterr().out.split()
    # Between the truth and one Gaussian with the covariance of the truth.
    x = names["toy"].sample(names["jax"].random.key(3), 10_000)
    gaussian = 0.5 * jnp.linalg.slogdet(2 * jnp.pi * jnp.e * jnp.cov(x.T)).logabsdet
    assert float(entropy) - 0.05 < float(loss) < float(entropy) + 0.15 < gaussian


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
