r"""VAEs with categorical codes: nine gradient estimators of one bound, compared with hard codes.

    python -m experiments.quantized.gumbel                  # the digits in one bit
    python -m experiments.quantized.gumbel --data binarized_mnist --data-dir FOLDER \
        --estimators score-function muprop straight-through annealed gumbel gumbel-hard \
        --decoder-hidden 200 --num-steps 15000 --eval-every 5000 --patience None \
        --learning-rate 3e-3 --weight-decay 0 --beta-steps 0

train x-(20 codes of 10 categories)-x: a linear map to the logits of the codes, a linear map back,
and as prior a learned distribution of each code. A model is trained by each of these estimators of
the gradient, where f is the integrand of the bound:

    score-function      (f(z) - b(x)) ∇ log q(z), b linear in x and learned; published as SF
    running-mean        the same, where b is a running mean of f
    no-baseline         the same, where b = 0
    leave-one-out       two draws, each the baseline of the other
    muprop              (f(z) - h(z) - b(x)) ∇ log q(z), where h is the linear part of f, whose
                        gradient is added exactly
    straight-through    f'(z) ∇ q
    annealed            straight-through with codes softmax(a / τ), where τ falls to 1; published
                        as annealed ST
    gumbel              f at softmax((a + g) / τ), a relaxed draw, and the gradient through it
    gumbel-hard         f at the hard code of this draw, the gradient through the relaxed one;
                        published as ST-Gumbel

The temperature falls as τ = max(0.5, e^(-r t)). The second command is the setting of the published
table with 20 codes of 10 categories, 784-(20x10)-200-784; with --num-codes 200 --num-categories 2
and no hidden layer of the decoder it is that of 200 Bernoulli variables. Jang et al. (2017) trained
by SGD with momentum and tuned the learning rate for each estimator; here all have Adam with one
learning rate. Expect all six to be better than the published figures, from -99.4 nats for
gumbel-hard to -109.2 for the score function. The digits take four minutes of one core, the second
command a quarter of an hour.

What is compared is the bound log 1/K Σ w with K = --test-samples hard codes, never relaxed ones;
the published bound has the same K. samples.png shows E[x | z] for z from the prior,
reconstructions.png E[x | z] for codes of test rows, and curves.png the ELBO of the validation
split.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

import jax
import numpy as np

from dgm_jax import learning, likelihoods, nets, plots, protocol, quantized, runs
from dgm_jax.runs import processes
from experiments import fitting, published, sets
from experiments.options import Data, Training, check
from experiments.vae.bits import COLUMNS, drawn, from_coins, standardised

if TYPE_CHECKING:
    from dgm_jax.data import Dataset
    from dgm_jax.protocol import LatentVariable

Estimator = Literal[
    "score-function",
    "running-mean",
    "no-baseline",
    "leave-one-out",
    "muprop",
    "straight-through",
    "annealed",
    "gumbel",
    "gumbel-hard",
]
COOLED = ("annealed", "gumbel", "gumbel-hard")  # estimators with a temperature


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (see Data in the README)"""
    estimators: tuple[Estimator, ...] = get_args(Estimator)
    """which estimators of the gradient to compare; a model is trained by each"""
    num_codes: int = 20
    """the number of codes in z"""
    num_categories: int = 10
    """categories of each code; 2 make Bernoulli variables"""
    hidden: tuple[int, ...] = ()
    """widths of the hidden layers (tanh) of encoder and decoder; by default none, so the logits of
    x are linear in z"""
    decoder_hidden: tuple[int, ...] | None = None
    """widths of the hidden layers of the decoder, if they differ from --hidden"""
    temperature_rate: float | None = None
    """the rate r of the temperature; by default τ is at its lowest after half of the steps"""
    least_temperature: float = 0.5
    """the temperature τ at which it stops to fall"""
    temperature_every: int = 500
    """steps between two changes of τ"""
    beta_steps: int = 500
    """the number of first steps in which the weight of the KL rises from 0 to 1"""
    test_samples: int = 1000
    """samples K of the bound by which all are compared"""
    test_rows: int = 500
    """the number of test rows that get all of these samples. All rows get a hundredth of them, and
    their mean is corrected by what the further samples add on the former"""
    num_steps: int = 2000
    batch_size: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    eval_every: int = 200


QUICK: dict[str, Any] = {"num_steps": 20, "eval_every": 10, "num_codes": 3, "num_categories": 3}
QUICK |= {"estimators": ("score-function", "gumbel"), "test_samples": 10}


@runs.builder
def build(
    mean: np.ndarray,
    num_codes: int,
    num_categories: int,
    hidden: tuple[int, ...],
    decoder_hidden: tuple[int, ...] | None = None,
) -> protocol.LatentVariable:
    """The model of rows of bits, which are 1 with frequency `mean` [d]."""
    dim, codes = len(mean), {"codes": num_codes, "num_categories": num_categories}
    tanh, size = jax.numpy.tanh, num_codes * num_categories
    encoder = nets.mlp(dim, size, hidden=hidden, activation=tanh)
    widths = hidden if decoder_hidden is None else decoder_hidden
    decoder = nets.mlp(size, dim, hidden=widths, activation=tanh)
    return quantized.categorical_vae(
        standardised(encoder, mean),
        from_coins(decoder, mean),
        likelihoods.bernoulli(),
        dim,
        prior=quantized.learned_codes(**codes),
        **codes,
    )


def temperature(config: Config, name: str = "gumbel") -> Callable:
    """τ as a function of the step, from 1 to the least; for annealed 1 / least times larger."""
    least, rate = config.least_temperature, config.temperature_rate
    if rate is None:
        rate = -np.log(least) / (config.num_steps / 2)
    falling = quantized.temperature_schedule(
        float(max(rate, 0.0)), least=least, every=config.temperature_every
    )
    return falling if name != "annealed" else lambda step: falling(step) / least


def loss_of(name: str, model: LatentVariable, dim: int) -> tuple:
    """(init_state, loss) of an estimator; baselines that are learned carry a state."""
    learned = {
        "score-function": lambda: quantized.linear_baseline_loss(model, dim),
        "muprop": lambda: quantized.linear_baseline_loss(model, dim, muprop=True),
        "running-mean": lambda: quantized.running_mean_loss(model),
    }
    if name in learned:
        init_state, loss = learned[name]()
        return init_state, lambda model, *args, **options: loss(*args, **options)
    return None, {
        "no-baseline": quantized.score_function_loss,
        "leave-one-out": quantized.leave_one_out_loss,
        "straight-through": quantized.straight_through_loss,
        "annealed": quantized.straight_through_loss,
        "gumbel": quantized.relaxed_loss,
        "gumbel-hard": functools.partial(quantized.relaxed_loss, hard=True),
    }[name]


def fit(
    config: Config, name: str, rows: dict[str, np.ndarray]
) -> tuple[LatentVariable, fitting.Fitted]:
    """The model trained by the estimator `name`, and what `fitting` returns."""
    names = ("num_codes", "num_categories", "hidden", "decoder_hidden")
    sizes = {what: getattr(config, what) for what in names}
    recipe = learning.Recipe(build, {"mean": rows["train"].mean(0), **sizes})
    model = recipe.model()
    init_state, loss = loss_of(name, model, rows["train"].shape[1])
    task = fitting.bound_task(
        model,
        rows,
        test_samples=config.test_samples,
        test_rows=config.test_rows,
        eval_batch=100,
    )
    return model, fitting.maximum_bound(
        config,
        f"{name}-{config.num_codes}x{config.num_categories}",
        model,
        rows,
        task,
        loss=loss,
        weights={"temperature": temperature(config, name)} if name in COOLED else None,
        init_state=init_state,
        beta_steps=config.beta_steps,
        adamw=fitting.adamw_of(config, clip=200.0),
        recipe=recipe,
    )


def show(found: dict) -> None:
    rows = []
    for name, r in found["models"].items():
        figure = published.find(found["published"], "nats", name)
        rows.append(
            {
                "model": name,
                "test nats": f"{r['test_nats']:.2f} ± {r['test_nats_stderr']:.2f}",
                "published": "" if figure is None else f"{figure.value:.1f}",
                "ELBO": f"{r['elbo_nats']:.2f}",
                "KL": f"{r['kl_z']:.1f}",
                "in use": f"{r['active_units']}/{r['num_units']}",
                "parameters": r["num_params"],
                "training s": round(r["train_seconds"]),
            }
        )
    runs.table(rows, list(rows[0]))
    of = f", corrected from {r['test_rows']} rows" if "test_rows" in r else ""
    print(
        f"Test nats: the bound with {r['num_samples']} samples of hard codes{of}; ELBO: with one."
        "\nIn use: categories whose probability varies with x. Published: Jang et al. (2017)."
    )
    fitting.tell(found["models"])


def draw(config: Config, data: Dataset, rows: dict[str, np.ndarray], fitted: dict) -> None:
    """Saves samples.png, reconstructions.png and curves.png."""
    x = rows["test"][np.random.default_rng(config.seed).permutation(len(rows["test"]))[:32]]
    made, key = {}, jax.random.key(config.seed + 1)
    for i, (name, (model, found)) in enumerate(fitted.items()):
        draws = jax.jit(functools.partial(drawn, model))
        made[name] = draws(found.params, jax.random.fold_in(key, i), x)
    for file, pictures in (("samples", "means"), ("reconstructions", "reconstructions")):
        groups = {name: np.asarray(each[pictures][:COLUMNS]) for name, each in made.items()}
        figure = sets.grid(data, {"test data": x[:COLUMNS]} | groups, columns=COLUMNS)
        plots.save(figure, config.directory / f"{file}.png")
    curves = {name: found.curves["valid_nats"] for name, (_, found) in fitted.items()}
    figure = plots.curves(curves, xlabel="step", ylabel="ELBO of the validation split, nats")
    plots.save(figure, config.directory / "curves.png")


def main(config: Config) -> dict:
    check(config, "estimators")
    data, rows = sets.bits(config)
    fitted = {name: fit(config, name, rows) for name in config.estimators}
    if processes.first():
        draw(config, data, rows, fitted)
    sizes = f"{config.num_codes}x{config.num_categories}"
    return {
        "data": config.data,
        "published": published.known(data),
        "models": {f"{name}-{sizes}": found.row for name, (_, found) in fitted.items()},
    }


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=4)
