"""The timing helper, on a clock that the functions under test move themselves."""

import datetime

import jax
import jax.numpy as jnp
import pytest

from dgm_jax import measure
from dgm_jax.measure import timing


class Clock:
    """Time stands still unless a function takes some."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def thunk(self, name, durations):
        """Takes durations[i] seconds at its i-th call, and the last one from then on."""
        left = list(durations)

        def call():
            self.calls.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return call


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing, "perf_counter", lambda: clock.now)
    return clock


def test_the_first_call_and_the_warm_up_stay_out_of_the_rounds(clock):
    thunk = clock.thunk("a", [5.0, 3.0, 0.001])
    assert timing.compare({"a": thunk}, repeats=4)["a"] == pytest.approx((1.0, 1.0, 1.0, 5.0))


def test_cpu_time_is_what_the_process_computed_and_not_what_it_waited(clock, monkeypatch):
    wall, cpu = clock.thunk("waits", [1.0]), Clock()
    monkeypatch.setattr(timing, "process_time", lambda: cpu.now)

    def waits():
        wall()
        cpu.now += 0.002

    assert timing.compare({"a": waits}, repeats=4, clock="cpu")["a"].median_ms == pytest.approx(2.0)
    assert timing.compare({"a": waits}, repeats=4)["a"].median_ms == pytest.approx(1000.0)


def test_a_timing_is_the_median_and_the_quartiles_in_milliseconds(clock):
    thunk = clock.thunk("a", [9.0, 9.0, 0.003, 0.001, 0.100, 0.002, 0.004])
    result = timing.compare({"a": thunk}, repeats=5)["a"]
    assert (result.low_ms, result.median_ms, result.high_ms) == pytest.approx((2.0, 3.0, 4.0))


def test_contestants_take_turns_and_each_follows_each(clock):
    """So that nobody always finds the caches as one other has left them."""
    names = ("a", "b", "c")
    timing.compare({name: clock.thunk(name, [1.0]) for name in names}, repeats=40)
    calls = "".join(clock.calls)
    rounds = [calls[i : i + 3] for i in range(0, len(calls), 3)]
    assert rounds[:2] == ["abc", "abc"] and len(rounds) == 2 + 40
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    pairs = {turn[i : i + 2] for turn in rounds for i in (0, 1)}
    assert pairs == {"ab", "ac", "ba", "bc", "ca", "cb"}


def test_rounds_go_on_until_min_seconds_have_passed(clock):
    thunks = {"a": clock.thunk("a", [0.5]), ("b", 1): clock.thunk("b", [1.0])}
    timing.compare(thunks, repeats=2, min_seconds=7.0)
    assert clock.calls.count("a") == clock.calls.count("b") == 2 + 5  # 5 rounds of 1.5 s


def test_a_call_ends_when_its_result_is_there(clock, monkeypatch):
    def wait(result):
        clock.now += 2.0 if result == {"x": "in flight"} else 0.0

    monkeypatch.setattr(timing.jax, "block_until_ready", wait)
    assert timing.compare({"a": lambda: {"x": "in flight"}})["a"].median_ms == 2000.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(thunks={}), "thunks must map names to functions"),
        (dict(thunks={"a": 3.0}), "thunks must map names to functions"),
        (dict(thunks={"a": print}, repeats=0), "repeats must be an integer of at least 1; got 0"),
        (dict(thunks={"a": print}, min_seconds=-1.0), "min_seconds .* got -1.0"),
        (dict(thunks={"a": print}, min_seconds=float("nan")), "min_seconds .* got nan"),
        (dict(thunks={"a": print}, min_seconds=1e30), "min_seconds .* a day; got 1e\\+30"),
    ],
)
def test_a_bad_comparison_is_refused_before_it_runs(arguments, message):
    with pytest.raises(ValueError, match=message):
        timing.compare(**arguments)


def test_flops_of_a_product_of_matrices():
    a, b = jnp.ones((8, 16)), jnp.ones((16, 32))
    assert timing.flops(jax.jit(jnp.matmul), a, b) == 2 * 8 * 16 * 32


def test_flops_count_a_scanned_layer_once():
    w = jnp.ones((5, 16, 16))
    stack = jax.jit(lambda w, x: jax.lax.scan(lambda x, w: (x @ w, None), x, w)[0])
    assert 2 * 8 * 16 * 16 <= timing.flops(stack, w, jnp.ones((8, 16))) < 2 * (2 * 8 * 16 * 16)


class Compiled:
    """Stands for a compiled function of a version or backend with another answer."""

    def __init__(self, answer):
        self.answer = answer

    def lower(self):
        return self

    def compile(self):
        return self

    def cost_analysis(self):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        ({"flops": 3.0}, 3.0),
        ([{"flops": 3.0}], 3.0),
        ({"bytes accessed": 3.0}, None),
        ({"flops": -1.0}, None),
        ([], None),
        (None, None),
    ],
)
def test_flops_reads_every_form_of_the_analysis(answer, count):
    assert timing.flops(Compiled(answer)) == count


def test_flops_wants_a_jitted_function():
    with pytest.raises(ValueError, match="made by jax.jit"):
        timing.flops(len, [1])


def test_machine_says_where_a_table_was_made():
    machine = measure.machine()
    assert machine["jax"] == jax.__version__ and machine["cores"] >= 1 and machine["cpu"]
    assert jax.devices()[0].device_kind in machine["device"]
    datetime.date.fromisoformat(machine["date"])


def test_without_warm_up_the_call_after_the_first_counts(clock):
    thunk = clock.thunk("a", [5.0, 3.0, 0.001])
    result = timing.compare({"a": thunk}, repeats=1, warm_up=False)["a"]
    assert result == pytest.approx((3000.0, 3000.0, 3000.0, 5.0))


def test_a_program_is_compiled_before_it_runs_and_knows_its_memory():
    traced = []

    def product(a, b):
        traced.append(1)
        return a @ b

    a = jnp.ones((64, 64))
    program = timing.program(product, a, a)
    assert traced == [1] and program.compile_s > 0
    assert float(program.run()[0, 0]) == 64 and float(program.run().sum()) == 64**3
    assert traced == [1]
    assert program.peak_mb is None or program.peak_mb >= 3 * a.nbytes / 1e6


def test_the_peak_is_measured_by_a_square_product():
    assert timing.matmul(16)().shape == (16, 16)
