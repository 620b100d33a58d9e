r"""Mixtures of Gaussians and Bernoullis by EM and variational inference, beside scikit-learn's.

    python -m experiments.inference.mixtures

fits mixtures of Gaussians to the 8x8 digits, with four forms of covariances, by the mode under the
conjugate prior (map), and by the Bayesian mixture (variational). The number of components and the
floor of the variances are those that are best on the validation split. Levels become real numbers
by noise and a logit, whose log-determinant counts, so that bits per dimension (bits/dim) compare
with those of flows. Expect 2.16 for the Bayesian mixture, 2.18 for full covariances, and 2.19, 2.29
and 2.40 for tied, diagonal and spherical ones (standard error 0.015), where one Gaussian has 2.97.
It takes some minutes of a CPU core, including compilation.

components.png shows the validation likelihood against the number of components, bounds.png what is
maximised against the step and, for pictures, means.png the means of the components and samples.
--data FILE takes any table. A set of bits is learned by mixtures of Bernoullis:

    python -m experiments.inference.mixtures --data mushrooms --data-dir FOLDER
    python -m experiments.inference.mixtures --data adult --data-dir FOLDER

Expect -13.81 and -18.96 nats; the published figures (recalled) are -14.46 and -20.44.

    python -m experiments.inference.mixtures --data bsds300_patches --data-dir FOLDER \
        --models full --num-components 32 --max-rows 30000 --num-restarts 1 --floors 1e-6 \
        --tolerance 0.02 --num-steps 30 --no-scikit-learn

fits one mixture of full Gaussians to patches of photographs, to compare with the flows of
`experiments.flows.tabular`.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import time
import warnings
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import checks, combinators, inference, learning, plots, protocol, runs
from dgm_jax.runs import processes
from experiments import baselines, fitting, published, sets
from experiments.options import Data, check

if TYPE_CHECKING:
    from dgm_jax.data import Dataset
    from dgm_jax.protocol import Array, Params

ModelName = Literal["full", "tied", "diagonal", "spherical", "map", "variational", "bernoulli"]
OF_NUMBERS = ("full", "tied", "diagonal", "spherical", "map", "variational")
TITLES = {"bernoulli": "mixture of Bernoullis"}  # as in the published tables
THEIRS = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


@dataclasses.dataclass(frozen=True)
class Config(Data, runs.RunOptions):
    models: tuple[ModelName, ...] | None = None
    """which mixtures to fit: by default bernoulli for bits, and all others for real numbers. map:
    full covariances, at their mode under the conjugate prior; variational: the Bayesian mixture,
    scored with its expected parameters"""
    num_components: tuple[int, ...] | None = None
    """the numbers of components to try; by default 5 and 20, for bits 25, 50, 100, 200"""
    floors: tuple[float, ...] = (1e-2, 1e-1)
    """the floors of variances to try, in units of the variance of the data"""
    prior_rows: tuple[float, ...] = (1.0, 10.0)
    """the weights of the prior to try, for map and variational: the prior of a covariance is the
    covariance of all rows, with the highest floor, and counts as much as this many rows for each
    dimension"""
    smoothings: tuple[float, ...] = (0.1, 0.3, 1.0)
    """the smoothings to try, for Bernoullis: each component gets this many additional rows, equal
    to the mean of all rows"""
    num_restarts: int = 2
    """random restarts in parallel; the one with the highest likelihood is kept"""
    num_steps: int = 200
    """the largest number of steps of EM"""
    tolerance: float = 1e-3
    """a fit ends when a step gains less than this, in nats per row"""
    max_rows: int | None = None
    """the number of training rows from which mixtures are learned; by default all"""
    alpha: float = 0.01
    """the margin α of the logit map of levels"""
    scikit_learn: bool = True
    """whether mixtures of scikit-learn are fitted with the same options, in float64"""


QUICK = {
    "num_components": (3,),
    "floors": (1e-1,),
    "smoothings": (1.0,),
    "prior_rows": (10.0,),
    "num_steps": 10,
    "num_restarts": 1,
    "max_rows": 300,
}
DRAWS = 8  # draws of the noise of each row, for the report
COLUMNS = 10  # of the picture


# ------------------------------------------------------------------------------------------ models
@runs.builder
def density(
    config: Config,
    name: str,
    dim: int,
    num_components: int,
    num_levels: int | None = None,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
) -> protocol.Density:
    """p(x) of the data. Of more than two levels it is a lower bound of log P(x), by noise."""
    if name == "bernoulli":
        return inference.bernoulli_mixture(dim, num_components)
    covariance = name if name in THEIRS else "full"
    mixture = inference.gaussian_mixture(dim, num_components, covariance=covariance)
    standard = sets.standard(num_levels, mean, std, alpha=config.alpha)
    model = combinators.preprocessed(mixture, standard)
    return model if num_levels is None else combinators.quantized(model, num_levels)


def fit_one(
    config: Config, name: str, x: Array, num_components: int, strength: float
) -> inference.FittedMixture:
    """The `FittedMixture` of rows that are already standardised."""
    key = jax.random.key(config.seed)
    options: dict[str, Any] = {
        "num_components": num_components,
        "num_restarts": config.num_restarts,
        "num_steps": config.num_steps,
        "tolerance": config.tolerance,
    }
    if name == "bernoulli":
        return inference.fit_bernoulli_mixture(x, key, smoothing=strength, **options)
    if name in ("map", "variational"):
        prior = prior_of(config, x, num_components, strength)
        if name == "variational":
            return inference.fit_variational_mixture(x, key, prior=prior, **options)
        prior = prior._replace(concentration=1.0)  # below 1 a mode has weights of 0
        return inference.fit_gaussian_mixture(x, key, prior=prior, floor=0.0, **options)
    return inference.fit_gaussian_mixture(x, key, covariance=name, floor=strength, **options)


def prior_of(
    config: Config, x: Array, num_components: Any, rows_a_dimension: float
) -> inference.Conjugate:
    """The conjugate prior, centred at the mean and covariance of all rows."""
    plain, dim = inference.prior_of(x, num_components), x.shape[1]
    degrees = float(rows_a_dimension * dim)
    covariance = plain.scale + max(config.floors) * jnp.eye(dim)
    return plain._replace(degrees=degrees, scale=degrees * covariance)


def strengths(config: Config, name: str) -> tuple[float, ...]:
    """What is tried for each number of components: a floor, a smoothing, or rows of a prior."""
    if name == "bernoulli":
        return config.smoothings
    return config.prior_rows if name in ("map", "variational") else config.floors


class Judge:
    """Scores parameters of a model on the data."""

    def __init__(self, model, noise, rows):
        def log_prob(params, key, x):
            return model.dist(params).log_prob(noise(key, x))

        self.rows, self.key = rows, jax.random.key(1)
        self.scores = fitting.scorer(log_prob)

    def valid(self, params: Params) -> float:
        """The mean log-likelihood of the validation split in nats, by one draw of the noise."""
        return float(self.scores(params, self.key, self.rows["valid"]).mean())

    def report(self, params: Params, draws: int) -> dict[str, float]:
        """The summary of the test split, by so many draws of the noise of each row."""
        dim = self.rows["test"].shape[1]
        return fitting.summary(self.scores(params, self.key, self.rows["test"], draws), dim)


class Problem:
    """A data set: the rows x to learn from, and how parameters are scored."""

    def __init__(self, config, data):
        self.config, self.bits = config, data.num_levels == 2
        self.rows, self.given, self.noise = sets.vectors(data), {}, lambda key, x: x
        if not self.bits:
            self.rows, self.given, self.noise = sets.scaling(
                data, alpha=config.alpha, seed=config.seed
            )
        train = self.rows["train"][: config.max_rows]
        if not self.bits:
            self.noisy = {
                split: np.asarray(self.noise(jax.random.key(config.seed), x), np.float32)
                for split, x in self.rows.items()
            }
            train = sets.standard(**self.given, alpha=config.alpha).forward(
                jnp.asarray(self.noisy["train"][: config.max_rows])
            )
        self.x, self.dim = jnp.asarray(train), train.shape[1]

    def recipe(self, name: str, num_components: int) -> learning.Recipe:
        """How to build `density` for this data, in its units."""
        arguments = {"config": self.config, "name": name, "dim": self.dim}
        return learning.Recipe(density, arguments | {"num_components": num_components} | self.given)

    def judge(self, name: str, num_components: Any) -> Judge:
        """The `Judge` of a model, which adds the noise of levels itself."""
        model = self.recipe(name, num_components).model()
        if self.given.get("num_levels") is not None:  # the noise is drawn here, from a key
            mixture = self.mixture(name, num_components)
            standard = sets.standard(**self.given, alpha=self.config.alpha)
            model = combinators.preprocessed(mixture, standard)
        return Judge(model, self.noise, self.rows)

    def mixture(self, name: str, num_components: int) -> protocol.Density:
        """The mixture of Gaussians of the standardised rows alone."""
        covariance = name if name in THEIRS else "full"
        return inference.gaussian_mixture(self.dim, num_components, covariance=covariance)


# ----------------------------------------------------------------------------------------- fitting
def choose(
    config: Config, problem: Problem, name: str, nums: tuple[int, ...]
) -> tuple[inference.FittedMixture, dict[str, float], tuple[tuple, tuple]]:
    """The fit that is best on the validation split, its row, and the curve over components."""
    tried, seconds = {}, 0.0
    for num in nums:
        judge = problem.judge(name, num)
        for strength in strengths(config, name):
            start = time.perf_counter()
            found = fit_one(config, name, problem.x, num, strength)
            seconds += time.perf_counter() - start
            tried[num, strength] = judge.valid(found.params), found
            valid = tried[num, strength][0]
            print(f"{name}, {num} components, {strength:g}: valid {valid:.3f} nats", flush=True)
    best = max(tried, key=lambda what: tried[what][0])
    valid, found = tried[best]
    num, strength = best
    row = {
        **problem.judge(name, num).report(found.params, 1 if problem.bits else DRAWS),
        "valid_nats": valid,
        "train_objective": float(found.history[-1]),
        "num_components": num,
        "strength": strength,
        "num_params": protocol.num_params(found.params),
        "num_steps": found.num_steps,
        "num_reseeded": found.num_reseeded,
        "train_seconds": seconds,
    }
    curve = [max(tried[num, s][0] for s in strengths(config, name)) for num in nums]
    return found, row, (tuple(nums), tuple(curve))


def of_scikit_learn(
    config: Config, problem: Problem, name: str, row: dict[str, float]
) -> dict[str, float]:
    """The row of scikit-learn's mixture with the chosen options, scored as ours."""
    from sklearn import mixture

    options: dict[str, Any] = {
        "n_components": row["num_components"],
        "n_init": config.num_restarts,
        "max_iter": config.num_steps,
        "tol": config.tolerance,
        "random_state": config.seed,
    }
    x, start = np.asarray(problem.x, np.float64), time.perf_counter()
    if name == "variational":
        prior = prior_of(config, problem.x, row["num_components"], row["strength"])
        found = mixture.BayesianGaussianMixture(
            weight_concentration_prior_type="dirichlet_distribution",
            mean_precision_prior=prior.mean_precision,
            degrees_of_freedom_prior=prior.degrees,
            covariance_prior=np.asarray(prior.scale, np.float64),
            **options,
        )
    else:
        options |= {"covariance_type": THEIRS[name], "reg_covar": row["strength"]}
        found = mixture.GaussianMixture(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a run that has not converged
        found.fit(x)
    seconds = time.perf_counter() - start
    params = inference.gaussian_parameters(
        *(jnp.asarray(a, jnp.float32) for a in (found.weights_, found.means_, found.covariances_)),
        covariance=name if name in THEIRS else "full",
    )
    judge = problem.judge(name, row["num_components"])
    return judge.report(params, DRAWS) | {
        "num_params": protocol.num_params(params),
        "num_steps": found.n_iter_,
        "train_seconds": seconds,
    }


def references(problem: Problem, data: Dataset) -> dict[str, dict]:
    """Rows of the baselines: tables of bits; a Gaussian and, of levels, a histogram."""
    rows, dim = problem.rows, problem.dim
    if problem.bits:
        tables = {"a coin for each bit": 0, "each bit given the last": 1}
        smoothing = (0.01, 0.1, 1.0)
        return {
            name: fitting.fit_table(rows, dim, 2, smoothing, window=window)[-1]
            for name, window in tables.items()
        }
    found = {"Gaussian": fitting.summary(baselines.gaussian(*problem.noisy.values()), dim)}
    if data.num_levels is not None:
        log_prob = baselines.histogram(*rows.values(), data.num_levels)
        found["histogram"] = fitting.summary(log_prob, dim)
    return found


# ---------------------------------------------------------------------------------------- pictures
def means(problem: Problem, name: str, params: Params) -> np.ndarray:
    """E[x | k] in the units of the data, [K, d], from the largest weight to the smallest."""
    heaviest = np.argsort(-np.asarray(params["logits"]))
    if name == "bernoulli":
        return np.asarray(jax.nn.sigmoid(params["bits"]))[heaviest]
    standard = sets.standard(**problem.given, alpha=problem.config.alpha)
    return np.asarray(standard.inverse(params["means"]))[heaviest]


def draw(
    config: Config,
    problem: Problem,
    data: Dataset,
    fits: dict[str, inference.FittedMixture],
    curves: dict[str, tuple],
    reference: dict[str, dict],
) -> None:
    """Saves components.png, bounds.png and, for pictures, means.png."""
    levels = {name: row["test_nats"] for name, row in reference.items()}
    if len(next(iter(curves.values()))[0]) > 1:
        figure = plots.curves(
            curves, xlabel="components", ylabel="validation nats", logx=True, baselines=levels
        )
        plots.save(figure, config.directory / "components.png")
    rises = {
        name: (tuple(range(1, len(found.history) + 1)), tuple(map(float, found.history)))
        for name, found in fits.items()
    }
    figure = plots.curves(rises, xlabel="step", ylabel="what is maximised, nats a row", logx=True)
    plots.save(figure, config.directory / "bounds.png")
    if data.test.ndim < 3:
        return
    groups = {}
    for name, found in fits.items():
        shown = means(problem, name, found.params)
        num = len(shown)
        blank = np.full((COLUMNS, problem.dim), np.min(data.test))
        groups[f"{name}: means"] = np.concatenate([shown[:COLUMNS], blank])[:COLUMNS]
        model = problem.recipe(name, num).model()
        sample = jax.jit(lambda p, key, m=model: m.dist(p).sample(seed=key, sample_shape=COLUMNS))
        groups["samples" if len(fits) == 1 else f"{name}: samples"] = np.asarray(
            sample(found.params, jax.random.key(config.seed + 1))
        )
    plots.save(sets.grid(data, groups, columns=COLUMNS), config.directory / "means.png")


def show(found: dict) -> None:
    rows = []
    groups = found["baselines"] | found["models"]
    groups |= {f"{name}, scikit-learn": row for name, row in found["scikit-learn"].items()}
    for name, r in groups.items():
        row = {"model": name, "components": r.get("num_components")}
        row["test nats"] = f"{r['test_nats']:.2f} ± {r['test_nats_stderr']:.2f}"
        row["bits/dim"] = f"{r['test_bits_per_dim']:.3f}"
        if "train_seconds" in r:
            row |= {"parameters": r["num_params"], "fitting s": round(r["train_seconds"], 1)}
        rows.append(row)
    for name, figure in published.of(found["published"], "nats").items():
        rows.append({"model": f"{name} ({figure.source})", "test nats": f"{figure.value:.2f}"})
    runs.table(rows, ["model", "components", "test nats", "bits/dim", "parameters", "fitting s"])
    print(
        "Seconds are those of all fits that were tried, with compilation; for scikit-learn, those "
        "of the chosen fit."
    )
    for name, r in found["models"].items():
        better = [n for n, b in found["baselines"].items() if b["test_nats"] > r["test_nats"]]
        if better:
            print(f"{name} is worse than {better[0]}: try other --num-components and --floors.")


def chosen(config: Config, problem: Problem) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """The mixtures to fit and the numbers of components to try, checked against the data."""
    names, nums = config.models, config.num_components
    if names is None:
        names = ("bernoulli",) if problem.bits else OF_NUMBERS
    wrong = [name for name in names if (name == "bernoulli") != problem.bits]
    if wrong:
        kind, others = ("bits", "bernoulli") if problem.bits else ("numbers", ", ".join(OF_NUMBERS))
        raise checks.InputError(
            f"models={wrong[0]!r} is not for data={config.data!r}, which are {kind}; try {others}."
        )
    if nums is None:
        nums = (25, 50, 100, 200) if problem.bits else (5, 20)
        nums = tuple(num for num in nums if num <= len(problem.x)) or (1,)
    if max(nums) > len(problem.x):
        raise checks.InputError(
            f"num_components must be at most {len(problem.x)}, the rows; got {max(nums)}."
        )
    return names, nums


def main(config: Config) -> dict:
    check(config, "floors", "smoothings", "prior_rows")
    data = sets.load(config)
    problem = Problem(config, data)
    names, nums = chosen(config, problem)
    fits, models, curves, peers = {}, {}, {}, {}
    for name in names:
        told = TITLES.get(name, name)
        fits[name], models[told], curves[told] = choose(config, problem, name, nums)
        recipe = problem.recipe(name, models[told]["num_components"])
        if processes.first():
            learning.save(config.directory / name, fits[name].params, recipe=recipe)
        if config.scikit_learn and name in (*THEIRS, "variational"):
            peers[name] = of_scikit_learn(config, problem, name, models[told])
    reference = references(problem, data)
    if processes.first():
        draw(config, problem, data, fits, curves, reference)
    return {
        "data": config.data,
        "published": published.known(data),
        "models": models,
        "baselines": reference,
        "scikit-learn": peers,
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
