"""Categories as the code of a VAE: nine gradients of one bound, by 1000 samples of hard codes.

    python -m experiments.quantized.gumbel                  # the digits in one bit
    python -m experiments.quantized.gumbel --data binarized_mnist --data-dir FOLDER \\
        --estimators score-function muprop straight-through annealed gumbel gumbel-hard \\
        --decoder-hidden 200 --num-steps 15000 --eval-every 5000 --patience None \\
        --learning-rate 3e-3 --weight-decay 0 --beta-steps 0

trains x-(20 codes of 10 categories)-x, with linear maps to the logits of the codes and back and a
learned distribution of each code as the prior, by each of

    score-function      (f(z) - b(x)) ∇ log q(z), b linear in x and learned; published as SF
    running-mean        ... with b the running mean of f
    no-baseline         ... with b = 0
    leave-one-out       two draws, each the baseline of the other
    muprop              (f(z) - h(z) - b(x)) ∇ log q(z), h the linear part of f, put back exactly
    straight-through    f'(z) ∇ q
    annealed            ... of codes softmax(a / τ), τ falling to 1; published as annealed ST
    gumbel              f at softmax((a + g) / τ), and through it
    gumbel-hard         f at the code of it; published as ST-Gumbel

τ falls as max(0.5, e^(-r t)). The second command is of the published table of 20 x 10 categories,
784-(20x10)-200-784; with --num-codes 200 --num-categories 2 and no layer of the decoder it is that
of 200 Bernoulli variables. Jang et al. (2017) trained by SGD with momentum and with rates chosen
for each gradient, here it is Adam with one rate. Expect all six to pass the published figures, from
-99.4 of gumbel-hard to -109.2 of the score function. The digits take four minutes of one core, the
second command a quarter of an hour.

What is told is log 1/K Σ w of --test-samples hard codes, never of relaxed ones; the published bound
is of as many. It leaves samples.png (E[x | z] of z from the prior), reconstructions.png and
curves.png.
"""

import dataclasses
import functools
from typing import Literal, get_args

import jax
import numpy as np

from dgm_jax import learning, likelihoods, nets, plots, quantized, runs
from dgm_jax.runs import processes
from experiments import fitting, published, sets
from experiments.options import Data, Training, check
from experiments.vae.bits import COLUMNS, drawn, from_coins, standardised

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
COOLED = ("annealed", "gumbel", "gumbel-hard")  # whose temperature falls


@dataclasses.dataclass(frozen=True)
class Config(Training, Data, runs.RunOptions):
    data: str = "digits_bits"
    """a set of bits by its name, or a file or folder of your own (README, Data)"""
    estimators: tuple[Estimator, ...] = get_args(Estimator)
    """of the gradient, by each of which a model is trained"""
    num_codes: int = 20
    """in z"""
    num_categories: int = 10
    """of each code; 2 are Bernoulli variables"""
    hidden: tuple[int, ...] = ()
    """widths of tanh layers of encoder and decoder; none by default, which makes a decoder that is
    linear in z"""
    decoder_hidden: tuple[int, ...] | None = None
    """those of the decoder, where they are others"""
    temperature_rate: float | None = None
    """r; by default τ is at its least after half of the steps"""
    least_temperature: float = 0.5
    temperature_every: int = 500
    """steps for which τ is held"""
    beta_steps: int = 500
    """steps in which the weight of the KL rises from 0 to 1"""
    test_samples: int = 1000
    """K of the bound by which all are compared"""
    test_rows: int = 500
    """test rows that get all of these samples; all rows get a hundredth of them, and the mean is
    corrected by what the others add"""
    num_steps: int = 2000
    batch_size: int = 100
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    eval_every: int = 200


QUICK = {"num_steps": 20, "eval_every": 10, "num_codes": 3, "num_categories": 3}
QUICK |= {"estimators": ("score-function", "gumbel"), "test_samples": 10}


@runs.builder
def build(
    mean: np.ndarray,
    num_codes: int,
    num_categories: int,
    hidden: tuple[int, ...],
    decoder_hidden: tuple[int, ...] | None = None,
):
    """The model of rows of bits that are 1 with probability `mean`."""
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


def temperature(config, name="gumbel"):
    """τ of each step: from 1 to the least; for annealed, which ends at 1, as many times larger."""
    least, rate = config.least_temperature, config.temperature_rate
    if rate is None:
        rate = -np.log(least) / (config.num_steps / 2)
    falling = quantized.temperature_schedule(
        float(max(rate, 0.0)), least=least, every=config.temperature_every
    )
    return falling if name != "annealed" else lambda step: falling(step) / least


def loss_of(name, model, dim):
    """(init_state, loss) of an estimator; a state is carried by baselines that learn."""
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


def fit(config, name, rows):
    """A model and what was fitted, by the estimator of a name."""
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
        clip=200.0,
        recipe=recipe,
    )


def show(found):
    """One table, from what results.json holds."""
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
        f"Test nats: the bound of {r['num_samples']} samples of hard codes{of}; ELBO: that of one."
        "\nIn use: categories whose probability varies with x. Published: Jang et al. (2017)."
    )
    fitting.tell(found["models"])


def draw(config, data, rows, fitted):
    """samples.png, reconstructions.png and curves.png."""
    x = rows["test"][np.random.default_rng(config.seed).permutation(len(rows["test"]))[:32]]
    made, key = {}, jax.random.key(config.seed + 1)
    for i, (name, (model, found)) in enumerate(fitted.items()):
        draws = jax.jit(functools.partial(drawn, model))
        made[name] = draws(found.params, jax.random.fold_in(key, i), x)
    for file, pictures in (("samples", "means"), ("reconstructions", "reconstructions")):
        groups = {name: np.asarray(each[pictures][:COLUMNS]) for name, each in made.items()}
        figure = sets.grid(data, {"test data": x[:COLUMNS]} | groups, columns=COLUMNS)
        plots.save(figure, config.workdir / f"{file}.png")
    curves = {name: found.curves["valid_nats"] for name, (_, found) in fitted.items()}
    figure = plots.curves(curves, xlabel="step", ylabel="ELBO of the validation split, nats")
    plots.save(figure, config.workdir / "curves.png")


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
