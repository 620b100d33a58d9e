"""Bad inputs are refused in one line that names them, before anything is compiled."""

import contextlib
import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dgm_jax import (
    autoregressive,
    bijectors,
    checks,
    combinators,
    data,
    distributions,
    flows,
    learning,
    likelihoods,
    metrics,
    nets,
    objectives,
)
from dgm_jax.runs import processes
from tests.helpers import drawn

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 2)
for num in (2, 3):
    list(jax.random.split(jax.random.clone(KEY), num))  # compiled here, so that no test counts it
LEGACY = np.array([0, 1], np.uint32)
X = np.asarray(jax.random.normal(KEYS[0], (5, 3)))
FLOW = flows.maf(3, hidden=(8,), num_layers=1)
MODEL = combinators.pushforward(FLOW, distributions.standard_normal(3))
PARAMS = MODEL.init(KEYS[1])
CONDITIONAL = flows.maf(3, hidden=(8,), num_layers=1, cond_shape=(2,))
ALGORITHM = learning.gradient_descent(
    MODEL.init, functools.partial(objectives.nll, MODEL), optax.adam(1e-3)
)
SIX = nets.made(3, hidden=(4,), num_outputs=6)
SIX_PARAMS = drawn(SIX)
SIX_LEVELS = nets.made(3, hidden=(4,), num_outputs=6, encoding=nets.one_hot(4))
SIX_LEVELS_PARAMS = drawn(SIX_LEVELS)
SIX_OUTPUTS = autoregressive.density(SIX_LEVELS, likelihoods.categorical(4), 3)
LEVELS = autoregressive.made(3, likelihoods.categorical(4), hidden=(4,))
HALVES = np.array([True, False, True])


SHORT = combinators.pushforward(flows.diagonal(3), distributions.standard_normal(1))
SHORT_PARAMS = drawn(SHORT)


def six():
    return SIX_OUTPUTS.dist(SIX_LEVELS_PARAMS)


def rows(values):
    """X with some rows replaced."""
    x = X.astype(np.float64)
    for row, value in values.items():
        x[row] = value
    return x


def train(first=X, **options):
    return learning.train(
        ALGORITHM,
        options.pop("key", jax.random.key(1)),
        options.pop("batch", lambda t: first),
        **{"num_steps": 5, "progress": False, **options},
    )


def descent(**options):
    given = {"init": MODEL.init, "loss": objectives.nll, "optimizer": optax.adam(1e-3), **options}
    optimizer = given.pop("optimizer")
    return learning.gradient_descent(given.pop("init"), given.pop("loss"), optimizer, **given)


def take_a_step(optimizer):
    algorithm = descent(optimizer=optimizer, loss=functools.partial(objectives.nll, MODEL))
    state = jax.eval_shape(algorithm.init, KEY)
    jax.jit(algorithm.step).lower(state, KEY, X)


def start(coordinator="127.0.0.1:8476", **options):
    given = {"num_processes": 2, "process_id": 1, **options}
    return processes.start(coordinator, **given)


def coupling(**options):
    return flows.coupling(**{"dim": 3, "hidden": (8,), **options})


def realnvp(**options):
    return flows.realnvp(**{"dim": 3, "hidden": (8,), **options})


def maf(**options):
    return flows.maf(**{"dim": 3, "hidden": (8,), **options})


def log_prob(x, cond=None):
    return jax.jit(lambda x: MODEL.dist(PARAMS, cond).log_prob(x))(x)


# name of the input: (call, what the one line says)
BAD = {
    # training
    "NaN in the first batch": (
        lambda: train(rows({1: np.nan, 3: np.nan})),
        r"batch\(0\): 2 of 5 rows .* first at row 1; drop or repair",
    ),
    "an infinity in it": (lambda: train(rows({4: np.inf})), "1 of 5 rows .* first at row 4"),
    "1e300, infinite as float32": (lambda: train(rows({2: 1e300})), "1 of 5 rows .* at row 2"),
    "an empty batch": (lambda: train(X[:0]), r"batch\(0\) is empty"),
    "a batch in the place of its function": (lambda: train(batch=X), "batch must be a function"),
    "an integer for a key": (
        lambda: train(key=0),
        r"key must be a typed key; got int.*random\.key",
    ),
    "a legacy key": (lambda: train(key=LEGACY), "key must be a typed key; got uint32 array"),
    "many keys for one": (lambda: train(key=KEYS), r"one key; got keys of shape \(2,\)"),
    "no steps": (lambda: train(num_steps=0), "num_steps must be an integer of at least 1; got 0"),
    "steps below zero": (lambda: train(num_steps=-3), "num_steps must .* got -3"),
    "half a step": (lambda: train(num_steps=2.5), "num_steps must be an integer .* got 2.5"),
    "steps as text": (lambda: train(num_steps="10"), "num_steps must be an integer .* got '10'"),
    "no interval of rows": (lambda: train(log_every=0), "log_every must"),
    "True for an interval": (lambda: train(log_every=True), "log_every must .* got True"),
    "checkpoints without a directory": (
        lambda: train(checkpoint_every=5),
        "checkpoint_every=5 needs workdir",
    ),
    "a monitor without an evaluation": (lambda: train(monitor="nll"), "needs evaluate"),
    "patience without a monitor": (lambda: train(patience=2, evaluate=print), "needs monitor"),
    "numbers for an evaluation": (
        lambda: train(evaluate={"nll": 1}),
        "evaluate must be a function",
    ),
    "a list for a logger": (lambda: train(on_log=[]), "on_log must be a function"),
    "a batch that does not divide among devices": (
        lambda: learning.shard_batch(np.zeros((10, 3)), learning.data_mesh(8)),
        "batch must have rows that divide among 8 devices; got 10. Use 8 or 16",
    ),
    "more devices than there are": (lambda: learning.data_mesh(99), "num_devices is 99, but there"),
    "a number for an optimiser": (
        lambda: descent(optimizer=1e-3),
        r"optimizer must be .* got 0\.001",
    ),
    "an optimiser not called": (lambda: descent(optimizer=optax.adam), "optimizer must be one of"),
    "an average of all": (lambda: descent(ema_decay=1.0), "ema_decay must lie between 0 and 1"),
    "an average of nothing": (lambda: descent(ema_decay=0), "ema_decay must lie between"),
    "an average as text": (lambda: descent(ema_decay="0.9"), "ema_decay must .* got '0.9'"),
    "a rate as text": (
        lambda: take_a_step(optax.adam("1e-3")),
        "optimizer fails at a step .*rate is a number",
    ),
    "a coordinator without a port": (
        lambda: start("10.0.0.1"),
        r"coordinator must be HOST:PORT; got '10\.0\.0\.1'",
    ),
    "a port that is none": (lambda: start("10.0.0.1:84760"), "coordinator must be HOST:PORT"),
    "a process after the last": (lambda: start(process_id=2), "below num_processes=2; got 2"),
    "a process before the first": (lambda: start(process_id=-1), "process_id must .* got -1"),
    "a run of no processes": (lambda: start(num_processes=0), "num_processes must .* got 0"),
    "half of what a process must know": (
        lambda: start(num_processes=None),
        "num_processes is missing; give coordinator",
    ),
    "a loss already computed": (lambda: descent(loss=0.5), "loss must be a function; got float"),
    "parameters for their initialiser": (lambda: descent(init=PARAMS), "init must be a function"),
    "a number for an axis": (lambda: descent(axis_name=3), "axis_name must be a string; got 3"),
    "a number for a directory": (lambda: train(workdir=3), "workdir must be a path; got 3"),
    "nothing for a run": (lambda: learning.load(None), "workdir must be a path; got None"),
    "no checkpoints to keep": (lambda: learning.Checkpoints("never", keep=0), "keep must"),
    "a directory without a run": (lambda: learning.load("never"), "in never, which does not exist"),
    "steps of fit": (lambda: learning.fit(ALGORITHM, KEY, lambda *_: X, num_steps=0), "num_steps"),
    "data for the draw of fit": (lambda: learning.fit(ALGORITHM, KEY, X, num_steps=1), "draw must"),
    "draws of t alone for fit": (
        lambda: learning.fit(ALGORITHM, KEY, lambda t: X, num_steps=1),
        r"draw must take \(key, t\); its arguments are \(t\)",
    ),
    "draws of a key for train": (
        lambda: learning.train(ALGORITHM, KEY, lambda key, t: X, num_steps=1),
        r"batch must take \(t\); its arguments are \(key, t\)",
    ),
    "a loss that takes no key": (
        lambda: descent(loss=lambda params, x: (0.0, {})),
        r"loss must take \(params, key, batch\); its arguments are \(params, x\)",
    ),
    "a model for an algorithm": (
        lambda: learning.fit(MODEL, KEY, num_steps=1),
        "algorithm must be an Algorithm; got Density. Make one: learning.gradient_descent",
    ),
    "a run in a file": (
        lambda: train(workdir=__file__),
        "workdir .*test_bad_inputs.py cannot be written to .*; name another",
    ),
    "parameters in a file": (
        lambda: learning.save(__file__, PARAMS),
        "workdir .*test_bad_inputs.py cannot be written to .*; name another",
    ),
    "numbers for levels to fit": (
        lambda: learning.fit_to_data(LEVELS, np.tile(X, (4, 1)), KEY),
        r"x must be levels, .*; got float32.* in \[0, 1\], .*\(\(K - 1\) \* x\).round\(\)",
    ),
    "pictures for a model of vectors to fit": (
        lambda: learning.fit_to_data(MODEL, np.zeros((40, 1, 3)), KEY),
        r"x must have rows of the shape of the model, \(3,\); got \(1, 3\). Try x.reshape\(-1, 3\)",
    ),
    "pictures for a model of vectors": (
        lambda: log_prob(np.zeros((5, 3, 1))),
        r"must have shape \[..., 3\]; got \(5, 3, 1\). Try \w+.reshape\(-1, 3\)",
    ),
    "vectors for a model of pictures": (
        lambda: checks.event_shape(np.zeros((5, 8)), (2, 2, 2)),
        r"x must have shape \[..., 2, 2, 2\]; got \(5, 8\). Try x.reshape\(-1, 2, 2, 2\)",
    ),
    "numbers for levels": (
        lambda: checks.levels(np.zeros((5, 3)), 3, 17),
        r"integers in 0..16; got float32. .* Numbers in \[0, 1\]: \(16 \* x\).round\(\)",
    ),
    # data
    "a batch larger than the data": (
        lambda: data.batches(X, 6, seed=0),
        "batch_size must be at most the 5 rows; got 6",
    ),
    "no data": (lambda: data.batches(X[:0], 1, seed=0), r"data is empty \(0 rows\)"),
    "parts of unequal length": (lambda: data.batches((X, X[:4]), 2, seed=0), "same number of rows"),
    "a seed below zero": (lambda: data.batches(X, 2, seed=-1), "seed must be"),
    "a set nobody knows": (lambda: data.load("mnits"), "got 'mnits'. Did you mean 'mnist'"),
    "a set that is not there": (lambda: data.load("mnist", "/never"), "mnist"),
    "a table that is not there": (lambda: data.load_file("never.csv"), "no file .*never.csv"),
    "reals to dequantize": (lambda: data.dequantize(KEY, X), "x must be integers; got float32"),
    "one level": (lambda: data.logit_map(1), "num_levels must be an integer of at least 2; got 1"),
    "a margin of one half": (lambda: data.logit_map(256, alpha=0.5), "alpha must be below 0.5"),
    "a margin of nothing": (lambda: data.logit_map(256, alpha=0.0), "alpha must .* got 0.0"),
    "a standard deviation of 0": (
        lambda: data.standardize(np.zeros(3), np.array([1, 0, 1.0])),
        "std",
    ),
    "a standard deviation below 0": (lambda: data.standardize(np.zeros(3), -np.ones(3)), "std"),
    "a mean of NaN": (
        lambda: data.standardize(np.full(3, np.nan), np.ones(3)),
        "mean must be finite",
    ),
    "a list of arrays for a tuple": (
        lambda: data.batches([X, X], 2, seed=0),
        r"data must be .* a tuple of arrays .* Write \(x, y\)",
    ),
    "no seed": (lambda: data.subset(X, 2, seed=None), "seed must be an integer .* got None"),
    "a level beyond the last": (
        lambda: data.mu_law_decode(np.array([0, 999])),
        "levels must lie in 0..255; got entries in 0..999",
    ),
    "levels of a table as text": (
        lambda: autoregressive.fit_table(np.zeros((2, 3), int), num_levels="2", window=1),
        "num_levels must be an integer .* got '2'",
    ),
    "more rows than there are": (lambda: data.subset(X, 6), "num must be at most the 5 rows"),
    "no beads": (lambda: data.gaussians(0), "num must be an integer of at least 1; got 0"),
    "beads of no size": (lambda: data.gaussians(scale=0.0), "scale must be .* above 0; got 0.0"),
    "no samples of a toy": (lambda: data.moons().sample(KEY, 0), "num must be"),
    "a toy on the plane, data in space": (lambda: data.moons().log_prob(X), r"\[\.\.\., 2\]"),
    # models
    "data of one column for three": (lambda: log_prob(X[:, :1]), r"\[\.\.\., 3\]; got \(5, 1\)"),
    "data of four columns": (lambda: log_prob(np.zeros((5, 4))), r"\[\.\.\., 3\]; got \(5, 4\)"),
    "integers for a continuous density": (lambda: log_prob(np.zeros((5, 3), int)), "[Dd]equantize"),
    "a key for parameters": (lambda: MODEL.dist(KEY), "got a key. The order is params, key, data"),
    "a key without its name": (
        lambda: jax.eval_shape(lambda: MODEL.dist(PARAMS).sample(KEY)),
        r"sample takes arguments by name: sample\(seed=key, sample_shape=n\)",
    ),
    "a list of flows": (lambda: combinators.compose([FLOW, FLOW]), r"compose\(\*flows\)"),
    "a condition for a model without": (lambda: log_prob(X, cond=X), "unconditional"),
    "no condition for a model with": (
        lambda: jax.jit(lambda x: CONDITIONAL.bijector(PARAMS["flow"]).forward(x))(X),
        r"cond is missing: .* cond_shape=\(2,\). Give an array \[..., 2\]",
    ),
    "a layer of no coordinates": (lambda: maf(dim=0), "dim must be"),
    "a coupling of one coordinate": (lambda: coupling(dim=1), "dim >= 2"),
    "a mask that keeps all": (lambda: coupling(mask=HALVES | True), "mask must keep some"),
    "a mask that keeps none": (lambda: coupling(mask=HALVES & False), "mask must keep some"),
    "a mask of the wrong length": (lambda: coupling(mask=HALVES[:2]), "mask must be 3 booleans"),
    "a mask of reals": (lambda: coupling(mask=HALVES * 1.0), "mask must be 3 booleans"),
    "an order with a repeat": (
        lambda: flows.autoregression(3, hidden=(8,), order=(0, 0, 2)),
        "order must be a permutation",
    ),
    "no layers": (lambda: realnvp(num_layers=0), "num_layers must be"),
    "a width of 0": (lambda: maf(hidden=(8, 0)), "each width in hidden="),
    "a width for the widths": (lambda: maf(hidden=8), "hidden must be a sequence"),
    "an inverse nobody knows": (lambda: maf(inverse="niave"), "Did you mean 'naive'"),
    "a law not called": (
        lambda: flows.autoregression(3, hidden=(8,), law=bijectors.affine),
        "law must be a Law.*Call it first",
    ),
    "nothing to compose": (lambda: combinators.compose(), "compose needs at least one flow"),
    "a constructor to compose": (lambda: combinators.compose(flows.maf), "flow 0 of compose"),
    "no coordinates of a normal": (lambda: distributions.standard_normal(0), "dim"),
    "a key for the parameters that is none": (lambda: MODEL.init(0), "key must be a typed key"),
    "a noise level for a net without": (
        lambda: nets.mlp(3, 3, hidden=(8,)).apply({}, X, X[:, 0]),
        r"1 inputs, of widths \(3,\); got 2, of widths \(3, 5\)\. .* denoiser .* nets.time_mlp",
    ),
    "no outputs of a net": (lambda: nets.mlp((3,), 0, hidden=(8,)), "must be an integer"),
    "no coordinates of a MADE": (
        lambda: autoregressive.made(0, likelihoods.gaussian(), hidden=(8,)),
        "dim must be",
    ),
    "a net with the outputs of another likelihood": (
        lambda: jax.eval_shape(six().log_prob, np.zeros((2, 3), np.int32)),
        "net must have the 4 outputs .* got 6",
    ),
    "draws of it": (
        lambda: jax.eval_shape(lambda key: six().sample(seed=key), KEY),
        "net must have the 4 outputs .* got 6",
    ),
    "a net with the outputs of another law": (
        lambda: jax.eval_shape(
            bijectors.Autoregressive(SIX, SIX_PARAMS, bijectors.affine(), 3).inverse, X
        ),
        "net must have the 2 outputs .* law takes; got 6",
    ),
    "a matrix that is not orthogonal": (
        lambda: bijectors.Orthogonal(np.ones((2, 2), np.float32)),
        "matrix must be orthogonal, .* differ by 2",
    ),
    "a contraction that expands": (
        lambda: bijectors.contraction(least=2),
        "least must be below 1",
    ),
    "axes of events as text": (
        lambda: bijectors.Diagonal(X[0], event_ndims="1"),
        "event_ndims must be an integer .* got '1'",
    ),
    "a base of another dimension": (
        lambda: jax.eval_shape(lambda x: SHORT.dist(SHORT_PARAMS).log_prob(x), X),
        r"base must be a density of what the flow makes .* \(3,\); got one of \(1,\)",
    ),
    "half a shape of draws": (
        lambda: jax.eval_shape(
            lambda key: MODEL.dist(PARAMS).sample(seed=key, sample_shape=2.5), KEY
        ),
        "sample_shape must be a number or a shape; got 2.5",
    ),
    "an odd channel to factor out": (
        lambda: combinators.factor_out(FLOW, (2, 2, 3)),
        r"even number of channels; got \(2, 2, 3\)",
    ),
    "scales of a picture of odd sides": (
        lambda: flows.multiscale((3, 3, 1), print, print, 2),
        r"shape must have an even height and width .* got \(3, 3, 1\)",
    ),
    "a condition for a start from data without": (
        lambda: combinators.adapt(MODEL, PARAMS, X, cond=X),
        "cond .* unconditional",
    ),
    "yes for a switch": (lambda: maf(residual="no"), "residual must be True or False; got 'no'"),
    "1 for a switch": (lambda: maf(unroll=1), "unroll must be True or False; got 1"),
    "an option misspelt": (lambda: flows.maf(3, hiden=(8,)), r"maf\(\) .*'hiden'"),
    # measures
    "the likelihood of no rows": (
        lambda: objectives.nll(MODEL, PARAMS, None, X[:0]),
        r"x is empty \(shape \(0, 3\)\)",
    ),
    "parameters in the place of a model": (
        lambda: objectives.nll(PARAMS, MODEL, None, X),
        "model must be a Density; got dict",
    ),
    "a penalty below 0": (
        lambda: flows.regularized_nll(MODEL, PARAMS, None, X, kinetic=-0.1),
        "kinetic must be a finite number of at least 0; got -0.1",
    ),
    "bits of no dimension": (lambda: objectives.bits_per_dim(X[:, 0], 0), "dim must be"),
    "the error of one number": (
        lambda: jax.jit(objectives.mean_and_stderr)(X[:1, 0]),
        "at least two numbers",
    ),
    "no samples of a divergence": (
        lambda: objectives.reverse_kl(MODEL, PARAMS, KEY, log_prob, num_samples=0),
        "num_samples",
    ),
    "scores of rows with NaN": (
        lambda: metrics.expected_log_prob(lambda key, x: x, KEY, rows({0: np.nan}), num_draws=1),
        "x: 1 of 5 rows",
    ),
    "a negative number where one above 0 is needed": (
        lambda: checks.positive(-0.1, "beta"),
        "beta must be a finite number above 0; got -0.1",
    ),
}


@contextlib.contextmanager
def compilations():
    """The list of what is compiled inside."""
    compiled = []

    def listen(event, seconds, **about):
        if event.endswith("backend_compile_duration"):
            compiled.append(about.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield compiled
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_is_refused_in_one_line_before_compiling(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    call, said = BAD[name]
    with compilations() as compiled:
        with pytest.raises((ValueError, TypeError, FileNotFoundError)) as refused:
            call()
    line = str(refused.value)
    assert re.search(said, line), line
    assert "\n" not in line and compiled == [] and list(tmp_path.iterdir()) == []


def test_compilations_are_seen():
    with compilations() as compiled:
        jax.jit(lambda x: x * 17 + 4)(jnp.ones(3))
    assert compiled
