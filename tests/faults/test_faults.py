"""Power is proven: each fault of a list, planted into a copy of the project, fails the suite.

By default it is only seen that every fault still fits the code. The proof runs the tests that a
fault names, first on an unchanged copy, where they must pass, then on one with the fault in it,
where one must fail:

    python -m pytest -m slow tests/faults                     # all, 12 core-minutes
    python -m pytest -m slow tests/faults -k made-output      # one
"""

import shutil
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor

import pytest

from dgm_jax.measure import machine
from tests.faults import (
    adversarial,
    bijectors,
    causal,
    codes,
    data,
    decoders,
    densities,
    diffusion,
    disentangled,
    divergences,
    experiments,
    flows,
    growing,
    hierarchies,
    inference,
    learning,
    metrics,
    nets,
    objectives,
    players,
    quantized,
    samples,
    vae,
)
from tests.faults.planting import (
    Ended,
    Fault,
    copy_tree,
    faulty,
    missing_tests,
    plant,
    run_tests,
    verdict,
)

AREAS = (
    causal,
    bijectors,
    flows,
    densities,
    objectives,
    metrics,
    data,
    learning,
    experiments,
    vae,
    hierarchies,
    decoders,
    inference,
    nets,
    divergences,
    players,
    adversarial,
    growing,
    samples,
    codes,
    disentangled,
    quantized,
    diffusion,
)
FAULTS = [fault for area in AREAS for fault in area.FAULTS]


def test_every_fault_still_fits_the_code():
    problems = []
    for fault in FAULTS:
        try:
            faulty(fault)
        except ValueError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


def test_every_fault_names_tests_that_exist():
    missing = [line for fault in FAULTS for line in missing_tests(fault)]
    assert not missing, "\n".join(missing)


def test_faults_are_many_and_each_has_a_name_and_a_change_of_its_own():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 66
    assert len({(fault.file, fault.old, fault.new) for fault in FAULTS}) == len(FAULTS)


def test_what_does_not_fit_is_told_with_the_place_where_it_stands_now(tmp_path):
    (tmp_path / "dgm_jax").mkdir()
    (tmp_path / "dgm_jax" / "a.py").write_text("x = 1\ny = 1\n")
    (tmp_path / "dgm_jax" / "b.py").write_text("z = 2\n")
    fault = Fault("name", "trap", "dgm_jax/a.py", "x = 1", "x = 2", "test_a.py::test_x")
    assert faulty(fault, tmp_path) == "x = 2\ny = 1\n"
    for changes, told in (
        ({"old": "= 1"}, "2 times in dgm_jax/a.py"),
        ({"old": "z = 2"}, "0 times in dgm_jax/a.py, and must once; it stands in dgm_jax/b.py"),
        ({"file": "dgm_jax/c.py"}, "no dgm_jax/c.py; it stands in dgm_jax/a.py"),
        ({"new": "x ="}, "no Python"),
    ):
        with pytest.raises(ValueError, match=told):
            faulty(fault._replace(**changes), tmp_path)
    assert missing_tests(fault, tmp_path) == ["name: no tests/test_a.py::test_x"]


def test_only_a_test_that_fails_catches_a_fault():
    assert verdict(Ended(1, "", 0)) is None
    assert verdict(Ended(0, "", 0)) == "not caught: its tests pass"
    for code in (None, 2, 3, 4, 5):  # crashed, interrupted, internal error, misused, none found
        assert f"{code}, before a test could fail" in verdict(Ended(code, "an error", 0))


@pytest.fixture(scope="module")
def proofs(request, tmp_path_factory):
    """{test file: run without faults} and {name: run with the fault}, made in the background."""
    chosen = [item.callspec.params["fault"] for item in request.session.items if _is_proof(item)]
    by_file = defaultdict(dict)  # the tests of a file, each once
    for fault in chosen:
        for node_id in fault.node_ids:
            by_file[node_id.partition("::")[0]][node_id] = None
    folder = tmp_path_factory.mktemp("copies")
    copy_tree(folder / "sound")

    def under(fault):
        copy = folder / fault.name
        copy_tree(copy, folder / "sound")
        plant(fault, copy)
        told = run_tests(copy, fault.node_ids, "-x")
        shutil.rmtree(copy)
        return told

    with ThreadPoolExecutor(machine()["cores"]) as pool:
        sound = {
            file: pool.submit(run_tests, folder / "sound", list(node_ids))
            for file, node_ids in by_file.items()
        }
        planted = {fault.name: pool.submit(under, fault) for fault in chosen}
        yield sound, planted
        pool.shutdown(cancel_futures=True)
    ended = [future.result() for future in (*sound.values(), *planted.values()) if future.done()]
    minutes = sum(each.seconds for each in ended) / 60
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        print(f"\n{len(planted)} faults in {minutes:.1f} core-minutes")


def _is_proof(item):
    return getattr(item, "originalname", "") == "test_the_suite_fails_under_the_fault"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_the_suite_fails_under_the_fault(fault, proofs):
    sound, planted = proofs
    for file in {node_id.partition("::")[0] for node_id in fault.node_ids}:
        ended = sound[file].result()
        assert ended.exit_code == 0, f"{file} fails without a fault:\n{ended.output[-3000:]}"
    wrong = verdict(planted[fault.name].result())
    assert wrong is None, f"{fault.name} ({fault.trap}): {wrong}"
