"""FFJORD: continuous flows on toy densities of the plane, and on the handwritten digits.

    python -m experiments.flows.ffjord

first trains a continuous normalizing flow (CNF) with the exact trace on toy densities, beside a
RealNVP, and prints KL(truth ‖ flow) in nats. Then it trains FFJORD on the 8x8 digits, with
Hutchinson's estimate of the trace and a penalty on long paths (RNODE). It prints the test
likelihood by the exact trace in bits per dimension (bits/dim), the number of evaluations of the
vector field, and max |x - T(T⁻¹(x))| in grey levels in float32, both directions solved at the
tolerance of the scores. densities-TOY.png shows the true and the learned densities, samples.png
test digits and samples.

It takes about three minutes on two quiet CPU cores. Expect a KL of 0.01 nats for the moons (RealNVP
the same) and 0.35 for the checkerboard (RealNVP 0.50), and 2.08 bits/dim on the digits (standard
error of the test set 0.013; the RealNVP of experiments.flows.compare has 2.09), with 19 evaluations
of the field for a training step and 37 for a score, and a round-trip error of 2e-4 grey levels.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import (
    bijectors,
    checks,
    combinators,
    distributions,
    flows,
    learning,
    objectives,
    plots,
    protocol,
    runs,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Array, Density, Key, Params

ToyName = Literal["checkerboard", "gaussians", "moons", "pinwheel", "rings", "spirals"]


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    toys: tuple[ToyName, ...] = ("moons", "checkerboard")
    """which toy densities to learn; --toys without a name means none"""
    toy_steps: int = 1000
    """training steps for each toy; RealNVP makes three times as many, in less time"""
    toy_hidden: tuple[int, ...] = (64, 64)
    """widths of the hidden layers of the field, and of RealNVP's conditioners, for a toy"""
    digits_steps: int = 1000
    """training steps for the digits, or for the data that --data names; 0 leaves them out"""
    digits_hidden: tuple[int, ...] = (256, 256)
    """widths of the hidden layers of the field for the digits"""
    batch_size: int = 128
    """examples per step for the digits; 256 for a toy"""
    noise: Literal["rademacher", "gaussian"] = "rademacher"
    """the noise of Hutchinson's estimate"""
    penalty: float = 0.01
    """the weight of both penalties on the digits, ∫ ‖f‖² dt and ∫ ‖∂f/∂x‖² dt"""
    learning_rate: float = 3e-3
    """the initial learning rate of AdamW (1e-2 for a toy); it decays to 0 by a cosine"""
    weight_decay: float = 1.0
    """the weight decay of AdamW on the digits; none on a toy"""
    tolerance: float = 1e-3
    """the tolerance of the ODE solver in training on the digits; on a toy it is 1e-4, in evaluation
    1e-5"""
    num_test: int = 20000
    """the number of new samples by which the KL is estimated"""


QUICK = {
    "toys": ("moons",),
    "toy_steps": 10,
    "toy_hidden": (16, 16),
    "num_test": 500,
    "digits_steps": 10,
    "digits_hidden": (32, 32),
}

ALPHA = 0.01  # margin of the logit map of levels
EMA_DECAY = 0.99  # of the moving average of the parameters
EXACT = 1e-5  # the tolerance of scores; with a tenth of it log p changes by less than 1e-3


# -------------------------------------------------------------------------------- on the plane
@runs.builder
def on_the_plane(config: Config, name: str, tolerance: float) -> protocol.Density:
    """RealNVP of 12 couplings, or for any other name a CNF with this tolerance of its solver."""
    if name == "realnvp":
        flow = flows.realnvp(2, num_layers=12, hidden=config.toy_hidden)
    else:
        solver = bijectors.ode_solver(rtol=tolerance, atol=tolerance)
        flow = flows.cnf(2, hidden=config.toy_hidden, solver=solver)
    return combinators.pushforward(flow, distributions.standard_normal(2))


def learn_toy(config: Config, name: str, toy: datasets.Toy, key: Key) -> dict:
    """The moving average of the parameters after training, one compiled function of a key."""
    model = on_the_plane(config, name, 1e-4)
    num_steps = config.toy_steps * (3 if name == "realnvp" else 1)
    loss = lambda params, key, x: objectives.nll(model, params, None, x)
    adamw = fitting.AdamW(3e-3 if name == "realnvp" else 1e-2, num_steps)
    algorithm = learning.gradient_descent(model.init, loss, adamw.optimizer(), ema_decay=EMA_DECAY)
    draw = lambda key, t: toy.sample(key, 256)
    state, _ = jax.jit(functools.partial(learning.fit, algorithm, draw=draw, num_steps=num_steps))(
        key
    )
    return learning.averaged(state)


def evaluations(model: Density, params: Params, x: Array) -> Array:
    """The number of evaluations of the vector field to score the batch x."""
    return jax.jit(lambda p, x: model.dist(p).bijector.inverse_path(x).num_evals)(params, x)  # ty: ignore[missing-attribute]


def toy_results(config: Config, toy_name: str) -> dict:
    """Trains CNF and RealNVP on one toy, saves both, and densities-TOY.png.

    Returns {"entropy", "models": {name: {"kl", "kl_stderr", "train_seconds"}}}, for cnf also
    "num_evals", the evaluations of the field when num_test draws are scored.
    """
    toy = datasets.TOYS[toy_name]()
    train_key, test_key = jax.random.split(jax.random.key(config.seed))
    x = toy.sample(test_key, config.num_test)
    truth, learned, panels = toy.log_prob(x), {}, {"truth": jax.jit(toy.log_prob)}
    for name in ("cnf", "realnvp"):
        start = time.perf_counter()
        same_key = jax.random.clone(train_key)
        params = jax.block_until_ready(learn_toy(config, name, toy, same_key))
        seconds = time.perf_counter() - start
        given = {"config": config, "name": name, "tolerance": EXACT}
        recipe = learning.Recipe(on_the_plane, given)
        model = recipe.model()
        learning.save(config.directory / f"{toy_name}-{name}", params, recipe=recipe)
        log_prob = jax.jit(lambda x, model=model, params=params: model.dist(params).log_prob(x))
        kl, stderr = objectives.mean_and_stderr(truth - log_prob(x))
        learned[name] = {"kl": kl, "kl_stderr": stderr, "train_seconds": seconds}
        panels[f"{name}: KL {kl:.3f}"] = log_prob
        if name == "cnf":
            learned[name]["num_evals"] = evaluations(model, params, x)
    if processes.first():
        figure = plots.densities(panels, title=f"{toy_name}, entropy {toy.entropy:.3f} nats")
        plots.save(figure, config.directory / f"densities-{toy_name}.png")
    print(f"{toy_name}: " + ", ".join(f"{n} {r['kl']:.3f}" for n, r in learned.items()))
    return {"entropy": toy.entropy, "models": learned}


# -------------------------------------------------------------------------------- on the digits
@runs.builder
def density(config: Config, num_levels: int, mean: np.ndarray, std: np.ndarray) -> protocol.Density:
    """p(x) of the data, by the exact trace. Of levels a lower bound, by uniform noise."""
    to_z = sets.standard(num_levels, mean, std, alpha=ALPHA)
    model = combinators.preprocessed(on_the_digits(config, len(mean), EXACT), to_z)
    return model if num_levels is None else combinators.quantized(model, num_levels)


def learn_digits(
    config: Config, rows: dict[str, np.ndarray], scaling: dict, noisy: Callable
) -> fitting.Fitted:
    """FFJORD on z = g(x + u), best on validation; each step draws new noise u and ε."""
    dim, to_model = rows["train"].shape[1], sets.standard(**scaling, alpha=ALPHA)
    model = on_the_digits(config, dim, config.tolerance)
    score_model = on_the_digits(config, dim, EXACT)

    def loss(params, key, x):
        noise_key, trace_key = jax.random.split(key)
        z = to_model.forward(noisy(noise_key, x))
        return flows.regularized_nll(
            model, params, trace_key, z, kinetic=config.penalty, frobenius=config.penalty
        )

    def log_prob(params, key, x):  # exact: no key for the model
        z, log_det = to_model.forward_and_log_det(noisy(key, x))
        return score_model.dist(params).log_prob(z) + log_det

    num_steps = config.digits_steps
    return fitting.fit_by_adamw(
        config,
        "digits",
        model.init,
        loss,
        fitting.likelihood_task(log_prob, rows, num_draws=2),
        rows["train"],
        fitting.AdamW(config.learning_rate, num_steps, config.weight_decay),
        ema_decay=EMA_DECAY,
        eval_every=max(1, num_steps // 5),
        recipe=learning.Recipe(density, {"config": config} | scaling),
    )


def on_the_digits(config: Config, dim: int, tolerance: float) -> Density:
    """FFJORD of vectors [dim] on the scale of N(0, I); tolerance: that of its solver."""
    options: dict[str, Any] = {"noise": config.noise, "hidden": config.digits_hidden}
    solver = bijectors.ode_solver(rtol=tolerance, atol=tolerance)
    flow = flows.ffjord(dim, solver=solver, **options)
    return combinators.pushforward(flow, distributions.standard_normal(dim))


def digits_results(config: Config, data: Any) -> dict:
    """The row of FFJORD on `data`; saves samples.png.

    Beside the likelihood it has the numbers of evaluations of the field, the largest error of
    T(T⁻¹(x)) in the units of the data, and the largest change of log p by a tenth of the tolerance.
    """
    rows, scaling, noisy = sets.scaling(data, alpha=ALPHA, seed=config.seed)
    to_model = sets.standard(**scaling, alpha=ALPHA)
    params, row, _, history = learn_digits(config, rows, scaling, noisy)
    dim = rows["train"].shape[1]
    model = on_the_digits(config, dim, EXACT)

    @jax.jit
    def moved(params, z):
        tighter = on_the_digits(config, dim, EXACT / 10).dist(params)
        return jnp.abs(model.dist(params).log_prob(z) - tighter.log_prob(z)).max()

    test = noisy(jax.random.key(1), rows["test"])
    z = to_model.forward(test)

    @jax.jit
    def reconstructed(params, z):
        bijector = model.dist(params).bijector  # ty: ignore[missing-attribute]
        return to_model.inverse(bijector.forward(bijector.inverse(z)))

    if processes.first():
        draw = jax.jit(lambda key: model.dist(params).sample(seed=key, sample_shape=32))
        samples = to_model.inverse(draw(jax.random.key(2)))
        if data.num_levels is not None:
            samples = datasets.quantize(samples, data.num_levels)
        shuffled = np.random.default_rng(config.seed).permutation(len(rows["test"]))[:32]
        shown = {"test data": rows["test"][shuffled], "ffjord": samples}
        figure = sets.grid(data, shown, columns=16)
        plots.save(figure, config.directory / "samples.png")
    return {
        **row,
        "num_evals_in_training": history[-1]["num_evals"],
        "num_evals_of_a_score": evaluations(model, params, z),
        "max_reconstruction_error": jnp.abs(reconstructed(params, z) - test).max(),
        "log_prob_moved_by_a_tenth_of_the_tolerance": moved(params, z),
    }


def show(found: dict[str, dict]) -> None:
    rows = []
    for toy, result in found.get("toys", {}).items():
        row = {"toy": toy, "entropy": f"{result['entropy']:.3f}"}
        for name, r in result["models"].items():
            row[f"KL {name}"] = f"{r['kl']:.3f} ± {r['kl_stderr']:.3f}"
            row[f"{name} s"] = round(r["train_seconds"])
        rows.append(row | {"evaluations": result["models"]["cnf"]["num_evals"]})
    if rows:
        runs.table(rows, list(rows[0]))
        print("Nats. KL is from the truth to the flow; 0 is a perfect fit.")
    if "digits" in found:
        rows = [{"digits": name, "value": value} for name, value in found["digits"].items()]
        runs.table(rows, ("digits", "value"))


def main(config: Config) -> dict:
    check(config)
    if not (config.toys or config.digits_steps):
        raise checks.InputError("toys and digits_steps leave nothing to do; give --toys moons.")
    results = {}
    data = sets.load(config) if config.digits_steps else None  # a wrong name is told at once
    if config.toys:
        results["toys"] = {name: toy_results(config, name) for name in config.toys}
    if config.digits_steps:
        results["digits"] = digits_results(config, data)
    return results


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
