"""The collected tables: what a run tells is there, what stands around a table is kept."""

import json

import pytest

from experiments import results

MACHINE = {"date": "2026-11-20", "cpu": "A CPU", "cores": 2, "device": "1 x cpu", "jax": "0.10.2"}


def run(folder, name, experiment, found, **options):
    workdir = folder / name
    workdir.mkdir(parents=True)
    config = {"experiment": experiment, "quick": False, "seed": 0, "machine": MACHINE} | options
    (workdir / "config.json").write_text(json.dumps(config))
    (workdir / "results.json").write_text(json.dumps(found))


def model(nats, **numbers):
    return {
        "test_nats": nats,
        "test_nats_stderr": 0.1,
        "num_params": 12345,
        "num_steps": 900,
        "train_seconds": 90.0,
    } | numbers


def collected(tmp_path, marker):
    file = tmp_path / "RESULTS.md"
    file.write_text(f"# Before\n\n{marker}\nold\n<!-- end -->\n\nAfter, by hand.\n")
    told = results.collect(tmp_path / "runs", file)
    text = file.read_text()
    assert text.startswith(f"# Before\n\n{marker}\n") and text.endswith("\n\nAfter, by hand.\n")
    lines = text.splitlines()
    return lines[lines.index(marker) + 1 : lines.index("<!-- end -->")], told


TABULAR = "experiments.flows.tabular"
MARKER = f"<!-- results of {TABULAR} in nats with rounds where data=hepmass -->"


def test_runs_are_rows_beside_the_published_figures_the_best_first(tmp_path):
    runs, hepmass = tmp_path / "runs", {"data": "hepmass", "hidden": [64]}
    known = {"published": "hepmass"}
    gaussian = {"baselines": {"Gaussian": {"test_nats": -27.9, "test_nats_stderr": 0.01}}}
    run(
        runs,
        "a",
        TABULAR,
        known | {"models": {"MAF (5)": model(-18.0, rounds=3)}} | gaussian,
        **hepmass,
    )
    run(runs, "b", TABULAR, known | {"models": {"RealNVP (10)": model(-17.5)}}, **hepmass)
    run(runs, "c", TABULAR, {"models": {"MAF (5)": model(-1.0)}}, data="power")
    run(runs, "d", TABULAR, {"models": {"MAF (5)": model(-2.0)}}, data="hepmass", quick=True)
    run(runs, "e", "experiments.flows.other", {"models": {"MAF (5)": model(-3.0)}}, **hepmass)
    lines, told = collected(tmp_path, MARKER)
    assert lines == [
        "| model | nats ± 2 s.e. | published | parameters | steps | minutes | rounds |",
        "|---|---|---|---|---|---|---|",
        "| RealNVP (10) | -17.50 ± 0.20 | -18.71 (Papamakarios et al. 2017) "
        "| 12,345 | 900 | 1.5 |  |",
        "| MAF (5) | -18.00 ± 0.20 | -17.70 (Papamakarios et al. 2017) | 12,345 | 900 | 1.5 | 3 |",
        "| Gaussian | -27.90 ± 0.02 | -27.93 (Papamakarios et al. 2017) |  |  |  |  |",
        "",
        "20 November 2026, A CPU (2 cores), 1 x cpu, jax 0.10.2; seed 0.",
    ]
    assert told == [f"{TABULAR} data=hepmass: 3 rows"]


def test_another_set_of_a_published_name_has_no_published_figures(tmp_path):
    found = {"models": {"MAF (5)": model(-18.0)}, "published": None}
    run(tmp_path / "runs", "a", TABULAR, found, data="hepmass")
    assert "Papamakarios" not in "".join(collected(tmp_path, MARKER)[0])


def test_seeds_are_one_row_and_other_options_another(tmp_path):
    for i, (seed, width) in enumerate([(0, 64), (1, 64), (0, 32)]):
        found = {"models": {"MAF (5)": model(-18.0 + i)}}
        run(tmp_path / "runs", str(i), TABULAR, found, data="hepmass", hidden=[width], seed=seed)
    lines, _ = collected(tmp_path, MARKER)
    first, second = (line.split(" | ")[:2] for line in lines[2:4])
    assert first == ["| MAF (5), hidden 32", "-16.00 ± 0.20"]
    assert second == ["| MAF (5), hidden 64", "-17.50 ± 0.20 (-18.00, -17.00)"]
    assert lines[-1].endswith("; seed 0, 1.")


def test_a_run_from_before_an_option_existed_is_a_row_without_it(tmp_path):
    run(tmp_path / "runs", "old", TABULAR, {"models": {"MAF": model(-3)}}, data="hepmass")
    run(tmp_path / "runs", "new", TABULAR, {"models": {"MAF": model(-2)}}, data="hepmass", lr=1)
    assert [line.split(" |")[0] for line in collected(tmp_path, MARKER)[0][2:4]] == [
        "| MAF, lr 1",
        "| MAF",
    ]


@pytest.mark.parametrize(
    ("unit", "best"), [("nats", 1), ("bits/dim", 0), ("fid", 0), ("active_units", 1), ("kl", 0)]
)
def test_the_best_stands_first_whichever_way_its_unit_points(tmp_path, unit, best):
    key = results.UNITS[unit].key
    models = {f"model {i}": {key: float(i), "num_params": 1} for i in range(2)}
    run(tmp_path / "runs", "a", TABULAR, {"models": models})
    lines, _ = collected(tmp_path, f"<!-- results of {TABULAR} in {unit} -->")
    assert lines[2].startswith(f"| model {best} ")


def test_a_unit_of_no_known_direction_is_refused(tmp_path):
    (tmp_path / "runs").mkdir()
    with pytest.raises(ValueError, match="the unit of a table must be one of .*'nats'"):
        collected(tmp_path, f"<!-- results of {TABULAR} in nat -->")


def test_what_has_two_names_is_a_cell(tmp_path):
    toys = {
        toy: {
            "entropy": 1.0,
            "models": {"maf": {"kl": 0.25, "kl_stderr": 0.01}, "iaf": {"kl": 2.0}},
        }
        for toy in ("moons", "rings")
    }
    run(tmp_path / "runs", "toy", "experiments.flows.toy", {"toys": toys})
    lines, _ = collected(tmp_path, "<!-- results of experiments.flows.toy in kl -->")
    assert lines[:4] == [
        "| kl ± s.e. | maf | iaf |",
        "|---|---|---|",
        "| moons | 0.250 ± 0.010 | 2.000 |",
        "| rings | 0.250 ± 0.010 | 2.000 |",
    ]


def test_a_table_without_a_run_stays_as_it_is(tmp_path):
    (tmp_path / "runs").mkdir()
    assert collected(tmp_path, MARKER) == (["old"], [f"{TABULAR} data=hepmass: no run, kept"])
    with pytest.raises(ValueError, match="elsewhere is none"):
        results.collect(tmp_path / "elsewhere", tmp_path / "RESULTS.md")


def test_every_table_of_the_record_names_an_experiment_that_exists():
    found = list(results.TABLE.finditer(results.FILE.read_text(encoding="utf-8")))
    assert results.FILE.read_text(encoding="utf-8").count("<!-- results of") == len(found) > 0
    root = results.FILE.parents[1]
    for match in found:
        assert (root / match["experiment"].replace(".", "/")).with_suffix(".py").is_file()
