"""What the tests cost in CPU seconds, by folder, beside what each may.

The default suite of all eight chapters is to take 40 core-minutes, 16 of them for the house and the
first two chapters. Nearly all of a test is compilation, so a folder that overdraws its share has
too many programs: factor its cases, or compute in one program what several tests look at. It is
named here and fails nothing, since machines differ.
"""

import os
from collections.abc import Iterable

import pytest

SHARES = {  # core-seconds of the default suite
    "tests": 45,  # the files that lie in no folder
    "tests/autoregressive": 50,
    "tests/benchmarks": 70,
    "tests/bijectors": 60,
    "tests/contracts": 160,
    "tests/data": 15,
    "tests/distributions": 40,
    "tests/experiments": 130,
    "tests/faults": 5,
    "tests/flows": 70,
    "tests/learning": 110,
    "tests/measure": 5,
    "tests/metrics": 30,
    "tests/nets": 110,
    "tests/objectives": 40,
    "tests/runs": 15,
    "tests/sweep": 5,
}
NEW_CHAPTERS = ("inference", "vae", "disentangled", "gans", "quantized", "diffusion")
OF_A_CHAPTER, OF_ITS_CONTRACTS = 180, 60  # a new one, and what it adds to tests/contracts
ALL = sum(SHARES.values()) + len(NEW_CHAPTERS) * (OF_A_CHAPTER + OF_ITS_CONTRACTS)


def shares(folders: Iterable[str]) -> dict[str, int]:
    """The share of each folder, and of the contracts, once new chapters have tests."""
    new = [chapter for chapter in NEW_CHAPTERS if f"tests/{chapter}" in folders]
    more = {f"tests/{chapter}": OF_A_CHAPTER for chapter in new}
    contracts = SHARES["tests/contracts"] + len(new) * OF_ITS_CONTRACTS
    return SHARES | more | {"tests/contracts": contracts}


def folder(nodeid: str) -> str:
    """Two names: tests/nets of tests/nets/causal/test_made.py::test_x, tests of tests/test_x.py."""
    return "/".join(nodeid.split("::")[0].split("/")[:-1][:2])


def spent(reports: Iterable[pytest.TestReport]) -> dict[str, float]:
    """CPU seconds of each folder."""
    seconds = {}
    for report in reports:
        where = folder(report.nodeid)
        seconds[where] = seconds.get(where, 0.0) + getattr(report, "cpu_seconds", 0.0)
    return dict(sorted(seconds.items()))


def summary(seconds: dict[str, float], *, all_is_run: bool) -> list[str]:
    """Lines of the table, then one for each folder that overdraws its share."""
    allowed = shares(seconds) if all_is_run else {}
    lines, overdrawn = [], []
    for where, used in seconds.items():
        of = f" of {allowed[where]}" if where in allowed else ""
        lines.append(f"{where:24} {used:7.1f}{of}")
        if used > allowed.get(where, float("inf")):
            overdrawn.append(f"{where} overdraws its share: {used:.0f} of {allowed[where]} seconds")
    of = f" of {sum(allowed[where] for where in seconds if where in allowed)}" if allowed else ""
    return [*lines, f"{'together':24} {sum(seconds.values()):7.1f}{of}", *overdrawn]


def cpu_seconds() -> float:
    """Of this process and of those it started and waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


# ------------------------------------------------------------------ the hooks, for conftest.py
_last = [0.0]


def pytest_collection_finish(session):
    _last[0] = cpu_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Each report of a set-up, call or tear-down brings what was spent since the one before."""
    report = yield
    now = cpu_seconds()
    report.cpu_seconds, _last[0] = now - _last[0], now  # xdist carries it to the one who tells
    return report


def pytest_terminal_summary(terminalreporter, config):
    reports = [
        report
        for group in terminalreporter.stats.values()
        for report in group
        if hasattr(report, "cpu_seconds")
    ]
    if not reports:
        return
    defaults = config.getini("addopts")
    by_default = defaults[defaults.index("-m") + 1] if "-m" in defaults else ""
    all_is_run = config.option.markexpr == by_default
    terminalreporter.section("CPU seconds by folder")
    for line in summary(spent(reports), all_is_run=all_is_run):
        terminalreporter.write_line(line)
