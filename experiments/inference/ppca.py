"""PPCA four ways, and which estimators still find the likelihood with many latents.

    python -m experiments.inference.ppca

fits linear models to the 8x8 digits (levels with uniform noise, so that bits per dimension,
bits/dim, compare with those of flows): PPCA in closed form, by EM, by scikit-learn, and as a linear
variational autoencoder trained by its ELBO; and factor analysis by EM and by scikit-learn. Then it
takes PPCA with more and more latents and rows that the model itself generates, and compares
estimates of log p(x) with the truth: naive Monte Carlo, importance sampling from a slightly wrong
q(z | x), annealed importance sampling (AIS) and its reverse.

spectrum.png shows the eigenvalues of the data beside σ²; active.png the KL of each latent of the
autoencoder beside ½ log(λ_i / σ²); latents.png bits/dim against the number of latents; sampling.png
the errors of the estimates of log p(x).

It takes three minutes on two CPU cores. Expect 3.506 bits/dim for PPCA with 16 latents, in closed
form and by EM, whose covariances agree to 1e-5. The linear autoencoder stays 0.03 nats below it on
the rows it has learned. Factor analysis, which has a noise variance for each pixel, has 3.026.
Naive Monte Carlo with 10,000 samples is right up to 4 latents, but 22 nats too low with 16 and 150
with 32. The bounds of AIS enclose the truth, at 0.1 and 0.2 nats from it with 8 latents and 1.3 and
1.5 with 32; more --annealing-steps tighten them.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import math
import time
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from dgm_jax import (
    checks,
    inference,
    learning,
    likelihoods,
    metrics,
    nets,
    objectives,
    plots,
    protocol,
    runs,
    vae,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import baselines, fitting, sets
from experiments.options import Data, Training, check

if TYPE_CHECKING:
    from dgm_jax.protocol import Algorithm, Array, LatentVariable, Params


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    num_latents: int = 16
    """the number of latents of all models"""
    em_steps: int = 500
    """steps of EM, for PPCA and for factor analysis"""
    num_steps: int = 6000
    """gradient steps of the linear variational autoencoder"""
    learning_rate: float = 1e-2
    eval_every: int = 500
    patience: int | None = None
    dims: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """the numbers of latents with which estimates of the likelihood are compared"""
    num_rows: int = 100
    """rows that each of these models generates"""
    num_samples: tuple[int, ...] = (100, 10_000)
    """the numbers of samples of naive Monte Carlo and importance sampling"""
    annealing_steps: int = 300
    """temperatures of AIS and of its reverse"""
    num_chains: int = 8
    """chains of AIS for each row"""
    shift: float = 0.3
    """the error of the mean of q(z | x) for importance sampling, in deviations of each latent"""
    spread: float = 0.8
    """the deviations of this q(z | x), in units of those of the true posterior"""


SPLITS = sets.SPLITS
QUICK = {
    "em_steps": 20, "num_steps": 50, "eval_every": 25, "dims": (1, 4), "num_rows": 10,
    "num_samples": (10, 100), "annealing_steps": 10, "num_chains": 2,
}  # fmt: skip


# ------------------------------------------------------------------------------------- the data
def scaled(config: Config, data: datasets.Dataset) -> tuple:
    """({split: rows [n, d]} centred, with a mean deviation of 1 over columns; this deviation)."""
    rows, noise_key = sets.vectors(data), jax.random.key(config.seed)
    if data.num_levels is not None:
        keys = jax.random.split(noise_key, len(rows))
        rows = {s: np.asarray(datasets.dequantize(k, x)) for k, (s, x) in zip(keys, rows.items())}
    mean, scale = rows["train"].mean(0), float(rows["train"].std(0).mean())
    return {split: np.float32((x - mean) / scale) for split, x in rows.items()}, scale


def moments(x: np.ndarray) -> tuple:
    """Mean [d] and covariance [d, d] of rows x [n, d], summed in float64."""
    x = np.asarray(x, np.float64)
    return np.float32(x.mean(0)), np.float32(np.cov(x.T, bias=True))


class Scores:
    """log p of a split under N(μ, W Wᵀ + Ψ) in the units of the data, in float64."""

    def __init__(self, rows, scale):
        self.rows, self.dim = rows, rows["train"].shape[1]
        self.log_scale = self.dim * math.log(scale)

    def of(self, mean: np.ndarray, covariance: np.ndarray, split: str) -> np.ndarray:
        """log p of each row of the split, [n] in nats, under N(mean, covariance)."""
        factor = np.linalg.cholesky(covariance)
        white = np.linalg.solve(factor, (self.rows[split] - np.float64(mean)).T)
        log_det = 2 * np.log(np.diag(factor)).sum() + self.dim * math.log(2 * math.pi)
        return -0.5 * ((white**2).sum(0) + log_det) - self.log_scale

    def row(self, params: Params, seconds: float) -> dict[str, float]:
        """The row of results.json of parameters whose fit took so many seconds."""
        found = {split: self.of(params["mean"], covariance(params), split) for split in SPLITS}
        told = {f"{split}_nats": float(found[split].mean()) for split in ("train", "valid")}
        told |= {"num_params": protocol.num_params(params), "train_seconds": seconds}
        return fitting.summary(found["test"], self.dim) | told


# ------------------------------------------------------------------------------------ the models
def closed_forms(scores: Scores, rows: dict[str, np.ndarray]) -> dict[str, list]:
    """{split: bits/dim} of PPCA with q = 1, ..., d - 1 latents.

    All eigenvalues of the data but the largest q are replaced by their mean, σ².
    """
    mean, data = moments(rows["train"])
    values, vectors = np.linalg.eigh(np.float64(data))
    bits = {split: [] for split in SPLITS}
    for q in range(1, scores.dim):
        kept = values.copy()
        kept[: scores.dim - q] = values[: scores.dim - q].mean()
        for split in SPLITS:
            log_prob = scores.of(mean, (vectors * kept) @ vectors.T, split)
            bits[split].append(float(objectives.bits_per_dim(log_prob.mean(), scores.dim)))
    return bits


def by_em(
    config: Config, algorithm: Algorithm, x: np.ndarray
) -> tuple[dict[str, Array], np.ndarray]:
    """The parameters after em_steps steps on all rows, and the log-likelihood after each step."""
    run = jax.jit(lambda key: learning.fit(algorithm, key, lambda *_: x, num_steps=config.em_steps))
    params, told = run(jax.random.key(config.seed))
    return params, np.asarray(told["log_likelihood"])


def by_peer(name: str, x: np.ndarray, num_latents: int) -> dict[str, Array]:
    """The parameters of scikit-learn's PCA or FactorAnalysis, in the form of ours."""
    from sklearn.decomposition import PCA, FactorAnalysis

    mean, covariance = moments(x)
    if name == "sklearn-ppca":
        peer = PCA(num_latents, svd_solver="full").fit(x)
        noise = peer.noise_variance_
        weights = peer.components_ * np.sqrt(peer.explained_variance_ - noise)[:, None]
    else:
        root = np.linalg.cholesky(np.float64(covariance)).T * len(mean) ** 0.5
        few = np.concatenate([root, -root])  # of the same covariance, all it uses
        peer = FactorAnalysis(num_latents, svd_method="lapack", max_iter=1000, tol=1e-3).fit(few)
        weights, noise = peer.components_, peer.noise_variance_
    params = {"weights": weights.T, "mean": mean, "log_scale": np.log(noise) / 2}
    return jax.tree.map(jnp.float32, params)


@runs.builder
def linear_vae(dim: int, num_latents: int) -> protocol.LatentVariable:
    """A VAE of one affine map each way, with one σ for all entries and a diagonal q(z | x)."""
    return vae.vae(
        nets.mlp(dim, 2 * num_latents, hidden=()),
        vae.shared_scale(nets.mlp(num_latents, dim, hidden=())),
        likelihoods.gaussian(),
        dim,
        num_latents=num_latents,
    )


def as_ppca(params: Params) -> dict[str, Array]:
    """The decoder of a linear autoencoder as parameters of PPCA."""
    decoder = params["likelihood"]["net"]["Dense_0"]
    log_scale = 3 * jnp.tanh(params["likelihood"]["log_scale"] / 3)  # as the likelihood bounds it
    return {"weights": decoder["kernel"].T, "mean": decoder["bias"], "log_scale": log_scale}


def learn(config: Config, model: LatentVariable, rows: dict[str, np.ndarray]) -> fitting.Fitted:
    """Trains the linear autoencoder by the ELBO with path gradients."""

    def loss(params, key, x):
        return objectives.stl(model, params, key, x)

    # the step that is best on the training rows is kept, since the optimum is that of these rows
    task = fitting.bound_task(model, {"valid": rows["train"], "test": rows["test"]})
    options = {name: getattr(config, name) for name in ("ema_decay", "eval_every", "patience")}
    adamw = fitting.adamw_of(config)
    return fitting.fit_by_adamw(
        config, "linear-vae", model.init, loss, task, rows["train"], adamw, **options
    )


def covariance(params: Params) -> np.ndarray:
    """W Wᵀ + Ψ, by which models are compared, since W is only known up to a rotation."""
    weights = np.asarray(params["weights"], np.float64)
    noise = np.broadcast_to(np.exp(2 * np.asarray(params["log_scale"], np.float64)), len(weights))
    return weights @ weights.T + np.diag(noise)


def fit_all(
    config: Any,
    rows: dict[str, np.ndarray],
    scores: Scores,
    optimum: dict[str, Array],
    num_latents: int,
) -> tuple[dict[str, dict], list[float]]:
    """{name: row of results.json}, and the KL of each latent of the autoencoder, sorted."""
    dim = scores.dim
    options: dict[str, Any] = {"num_latents": num_latents}
    model = linear_vae(dim, num_latents)
    fitted = learn(config, model, rows)
    found, climbs = {"ppca": (optimum, 0.0)}, {}
    ways = {
        "ppca-em": inference.ppca_em(dim, **options),
        "factor-analysis": inference.factor_analysis_em(dim, floor=1e-4, **options),
    }
    for name, algorithm in ways.items():
        start = time.perf_counter()
        params, climbs[name] = by_em(config, algorithm, rows["train"])
        found[name] = params, time.perf_counter() - start
    for name in ("sklearn-ppca", "sklearn-factor-analysis"):
        start = time.perf_counter()
        params = by_peer(name, rows["train"], num_latents)
        found[name] = params, time.perf_counter() - start
    found["linear-vae"] = as_ppca(fitted.params), fitted.row["train_seconds"]
    table = {name: scores.row(*what) for name, what in found.items()}
    truth = covariance(optimum)
    for name in ("ppca-em", "sklearn-ppca", "linear-vae"):
        off = np.linalg.norm(covariance(found[name][0]) - truth) / np.linalg.norm(truth)
        table[name]["covariance_off"] = float(off)
    for name, climb in climbs.items():
        table[name]["least_rise"] = float(np.diff(climb).min())  # negative by rounding alone
    elbo = objectives.bits_per_dim(fitted.row["elbo_nats"] - scores.log_scale, dim)
    told = {name: fitted.row[name] for name in ("active_units", "num_steps", "best_step")}
    table["linear-vae"] |= told | {"elbo_bits_per_dim": float(elbo)}
    return table, learned_kl(model, fitted.params, rows["train"])


def learned_kl(model: LatentVariable, params: Params, x: Any) -> list[float]:
    """The mean over x of KL(q(z_i | x) ‖ p(z_i)) in nats for each latent, the largest first."""
    found = jax.jit(
        lambda params, key: objectives.infer(model, params, key, x).kl["z"].mean((0, 1))
    )
    return sorted(np.asarray(found(params, jax.random.key(0)), np.float64).tolist(), reverse=True)


# -------------------------------------------------------------------------- likelihoods by sampling
def off_target(model: LatentVariable, shift: float, spread: float) -> LatentVariable:
    """The model with a wrong q(z | x): its mean shifted by `shift` deviations, which are scaled."""

    def posterior(params, x, cond=None, *, key=None):
        import distrax

        exact = model.posterior(params, x)
        return distrax.MultivariateNormalTri(
            exact.mean() + shift * exact.stddev(),
            spread * exact.scale_tri,  # ty: ignore[missing-attribute]
        )

    return model._replace(posterior=posterior)


def sampled(config: Config, params: Params) -> dict:
    """Each estimate of E log p(x) beside the truth, on rows that the model itself generates."""
    dim, num_latents = params["weights"].shape
    exact = inference.ppca(dim, num_latents=num_latents)
    model = off_target(exact, config.shift, config.spread)
    *keys, key = jax.random.split(jax.random.key(config.seed), 2 * len(config.num_samples) + 1)
    both = metrics.bidirectional_log_prob(
        model, params, key, num_rows=config.num_rows, num_steps=config.annealing_steps,
        num_chains=config.num_chains,
    )  # fmt: skip
    estimates = {"annealed": both.lower, "reverse annealed": both.upper}
    for num in config.num_samples:
        options: dict[str, Any] = {"num_samples": num, "chunk_size": min(num, 500)}
        for name, estimate in (
            ("naive", metrics.naive_log_prob),
            ("importance", metrics.importance_log_prob),
        ):
            estimates[f"{name} {num}"] = estimate(model, params, keys.pop(), both.x, **options)
    truth = np.asarray(
        inference.ppca_density(dim, num_latents=num_latents).dist(params).log_prob(both.x)
    )
    found = {"truth_nats": float(truth.mean()), "kl_nats": float(posterior_kl(params))}
    for name, estimate in estimates.items():
        off, stderr = objectives.mean_and_stderr(estimate.log_prob - truth)
        found[name] = {"off_nats": float(off), "stderr": float(stderr), "told": str(estimate)}
    return found


def posterior_kl(params: Params) -> float:
    """E KL(p(z | x) ‖ p(z)) = Σ_i ½ log(λ_i / σ²) in nats.

    A naive estimate needs about the exponential of it in samples.
    """
    w, variance = np.asarray(params["weights"], np.float64), np.exp(2 * float(params["log_scale"]))
    return 0.5 * np.linalg.slogdet(np.eye(w.shape[1]) + w.T @ w / variance)[1]


# --------------------------------------------------------------------------------------- telling
def draw(config: Config, found: dict, bits: dict[str, list]) -> None:
    """Saves spectrum.png, active.png, latents.png and sampling.png."""
    spectrum, kl = np.array(found["spectrum"]), np.array(found["learned_kl"])
    ranks = np.arange(1, len(spectrum) + 1)
    plots.save(
        plots.curves(
            {"eigenvalues of the data": (ranks, spectrum)},
            xlabel="rank", ylabel="variance, in units of the mean one", logy=True,
            baselines={"σ²": found["noise_variance"]}, title="What PPCA calls noise",
        ),
        config.directory / "spectrum.png",
    )  # fmt: skip
    q, factors = found["num_latents"], found["models"]["factor-analysis"]
    exact = 0.5 * np.log(spectrum[:q] / found["noise_variance"])
    plots.save(
        plots.curves(
            {"½ log(λ / σ²)": (ranks[:q], exact), "linear VAE": (ranks[:q], kl)},
            xlabel="latent, the largest first", ylabel="KL(q ‖ p) in nats",
            title="What each latent knows of a digit",
        ),
        config.directory / "active.png",
    )  # fmt: skip
    plots.save(
        plots.curves(
            {split: (ranks[:-1], np.array(bits[split])) for split in SPLITS},
            xlabel="number of latents of PPCA", ylabel="bits per dimension",
            baselines={"factor analysis, test": factors["test_bits_per_dim"]},
        ),
        config.directory / "latents.png",
    )  # fmt: skip
    dims = np.array([int(q) for q in found["sampling"]])
    names = [
        name for name, told in found["sampling"][str(dims[0])].items() if isinstance(told, dict)
    ]
    lines = {n: [abs(s[n]["off_nats"]) for s in found["sampling"].values()] for n in names}
    plots.save(
        plots.curves(
            {name: (dims, np.maximum(values, 1e-4)) for name, values in lines.items()},
            xlabel="number of latents", ylabel="error of log p(x) in nats", logx=True, logy=True,
            title="Who still finds the likelihood",
        ),
        config.directory / "sampling.png",
    )  # fmt: skip


def show(found: dict) -> None:
    table = []
    for name, row in (found["baselines"] | found["models"]).items():
        bits = f"{row['test_bits_per_dim']:.3f} ± {row['test_bits_per_dim_stderr']:.3f}"
        told = {"model": name, "bits/dim": bits, "train nats": row.get("train_nats")}
        for key, label in (("train_seconds", "seconds"), ("covariance_off", "covariance off by")):
            told[label] = row.get(key)
        table.append(
            {
                k: f"{v:.3g}" if isinstance(v, float) and k != "train nats" else v
                for k, v in told.items()
            }
        )
    runs.table(table, list(table[0]))
    rows = []
    for q, told in found["sampling"].items():
        row = {"latents": q, "truth": round(told["truth_nats"], 2), "KL": round(told["kl_nats"], 1)}
        row |= {n: f"{t['off_nats']:+.2f}" for n, t in told.items() if isinstance(t, dict)}
        rows.append(row)
    runs.table(rows, list(rows[0]))
    print(
        "Errors of the mean log p(x) in nats, on rows that each model generates. Annealing starts "
        "from the\nprior; reverse annealing starts from the z that generated x, and is an upper "
        f"bound on average. The\nmodels of the first table have {found['num_latents']} latents."
    )


def main(config: Config) -> dict:
    check(config, "dims", "num_samples")
    data = sets.load(config)
    rows, scale = scaled(config, data)
    scores = Scores(rows, scale)
    if max(config.dims) >= scores.dim or config.num_latents >= scores.dim:
        raise checks.InputError(
            f"dims and num_latents must be below the {scores.dim} numbers of a row; got "
            f"{config.dims} and {config.num_latents}."
        )
    bits = closed_forms(scores, rows)
    num_latents = config.num_latents
    mean, data_covariance = moments(rows["train"])

    def optimum(q):
        return inference.ppca_optimum(mean, data_covariance, num_latents=q)

    models, kl = fit_all(config, rows, scores, optimum(num_latents), num_latents)
    spectrum = np.linalg.eigvalsh(np.float64(data_covariance))[::-1]
    gaussian = baselines.gaussian(*(rows[split] for split in SPLITS)) - scores.log_scale
    found = {
        "models": models,
        "baselines": {"gaussian": fitting.summary(gaussian, scores.dim)},
        "num_latents": num_latents,
        "best_num_latents": 1 + int(np.argmin(bits["valid"])),  # of PPCA, on the validation split
        "spectrum": spectrum.tolist(),
        "noise_variance": float(spectrum[num_latents:].mean()),
        "learned_kl": kl,
        "sampling": {str(q): sampled(config, optimum(q)) for q in config.dims},
    }
    if processes.first():
        draw(config, found, bits)
    return found


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
