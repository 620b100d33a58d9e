r"""VQ-VAE-2: maps of codes at two or three resolutions, with a prior of each given those above.

    python -m experiments.quantized.vqvae2

trains a model with two levels on the 8x8 digits, 2x2 codes at the top and 4x4 codes below, in about
five minutes of one core. With --class-conditional expect 2.03 bits per dimension (bits/dim), with a
rate of 0.67, and five of six generated pictures of the class that was asked for. --halvings 1 1 1
--num-codes 32 32 32 makes three levels. Stage two trains a Gated PixelCNN (or another --prior) of
the top level, and for each level below a Gated PixelCNN that is conditional on the codes above.
They are trained together, on codes that are computed once. The bound of log p(x) is reported with
its rate and distortion, as in experiments.quantized.vqvae.

Samples are judged as in experiments.gans.images, by the features of a classifier that the run
trains. The pictures: reconstructions.png; levels.png, test data with all their codes, and with
those of the top alone, where those below are drawn from their prior; samples.png; curves.png, the
validation bound of stage one; and, with --class-conditional, classes.png, with a column for each
class. One line loads both stages:

    loaded = learning.load("runs/quantized/vqvae2/vqvae2")

MNIST (--data mnist --data-dir FOLDER) has maps of 7x7 and 14x14 codes, CIFAR-10 of 8x8 and 16x16:

    python -m experiments.quantized.vqvae2 --data cifar10 --num-codes 512 512 --hidden 128 \
        --dim 64 --num-components 10 --num-steps 200000 --prior-hidden 128 --prior-layers 12 \
        --prior-steps 100000

(for an accelerator; not run). Razavi, van den Oord and Vinyals (2019).
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from dgm_jax import checks, learning, plots, protocol, quantized, runs
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.options import Data, check
from experiments.quantized import stages
from experiments.vae.compare import head

if TYPE_CHECKING:
    from dgm_jax.protocol import Density, Key, Params


@dataclasses.dataclass(frozen=True)
class Config(stages.Judged, stages.TwoStages, Data, runs.RunOptions):
    class_conditional: bool = False
    """learn p(x | class): the prior of the top level gets the class of the picture"""
    num_codes: tuple[int, ...] = (32, 4)
    """the number of vectors in the codebook of each level, from the top down"""
    halvings: tuple[int, ...] = (1, 1)
    """how many times the map of each level is halved from the one below it, from the top down; the
    last is halved from x"""
    dim: int = 16
    """the dimension of the vectors"""
    decay: float = 0.99
    """the decay of the moving averages in the codebooks"""
    revive: float = 0.1
    """a code that is used less often than this fraction of an equal share is set to a feature of
    the batch; 0: never"""
    beta: float = 0.25
    """the weight β of the commitment loss"""
    hidden: int = 48
    """channels of the maps"""
    num_blocks: int = 1
    """residual blocks for each halving or doubling"""
    dropout: float = 0.1
    """the dropout rate in the nets of stage one"""
    num_components: int = 5
    """components of the mixture of logistics of a pixel; bits are Bernoulli"""
    joint_channels: bool = True
    """whether the channels of a pixel depend on one another given the codes, by a shared mixture;
    else they are independent"""
    num_steps: int = 1500
    prior: stages.PriorName = "gated-pixelcnn"
    """the prior of the top level; the levels below have a Gated PixelCNN"""
    prior_hidden: int = 32
    """channels of each prior"""
    prior_layers: int = 3
    """layers of each prior"""
    prior_heads: int = 4
    """attention heads of pixelsnail and transformer; must divide --prior-hidden"""
    prior_steps: int = 600
    prior_decay: float = 0.5
    num_shown: int = 16
    """pictures in a row"""


QUICK = {"num_steps": 10, "prior_steps": 10, "eval_every": 5, "num_codes": (4, 4), "dim": 4}
QUICK |= {"hidden": 4, "prior_hidden": 4, "prior_layers": 1, "num_blocks": 0, "num_shown": 8}
QUICK |= {"num_components": 2, "num_samples": 64, "classifier_steps": 20}


@runs.builder
def build_coder(config: Config, shape: tuple[int, int, int], num_levels: int) -> quantized.Coder:
    """Stage one, of pictures [H, W, C]; `InputError` unless each level has its options."""
    if len(config.num_codes) != len(config.halvings):
        raise checks.InputError(
            f"num_codes must be as many as halvings, one a level; got {config.num_codes} and "
            f"{config.halvings}."
        )
    options = {"decay": config.decay, "revive": config.revive}
    return quantized.vqvae2(
        shape,
        head(config, num_levels, shape[2]),
        [quantized.averaged_codebook(num, config.dim, **options) for num in config.num_codes],
        halvings=config.halvings,
        hidden=config.hidden,
        num_blocks=config.num_blocks,
        dropout=config.dropout,
    )


def prior_of(config: Config, coder: quantized.Coder, num_classes: int) -> Density:
    """The prior: of the top level under a class, if any, and of each other given those above."""
    priors = []
    for shape, num in zip(coder.code_shape, coder.num_codes):
        cond = (*shape[:2], config.prior_hidden) if priors else (num_classes,)
        name = "gated-pixelcnn" if priors else config.prior
        of_level = None if cond == (0,) else cond
        priors.append(stages.density_of_codes(config, name, shape, num, of_level))
    return quantized.level_prior(coder, priors, hidden=config.prior_hidden)


@runs.builder
def build(
    config: Config, shape: tuple[int, int, int], num_levels: int, num_classes: int = 0
) -> protocol.LatentVariable:
    """Both stages: a latent variable model of pictures, under a class if there are any."""
    coder = build_coder(config, shape, num_levels)
    return quantized.with_prior(coder, prior_of(config, coder, num_classes))


def main(config: Config) -> dict:
    check(config)
    data = stages.pictures(config)
    rows = {split: x for split, (x, *_) in data.rows.items()}
    conds = None
    if config.class_conditional:
        conds = {split: cond for split, (_, cond) in data.rows.items()}
    given = {"config": config, "shape": data.shape, "num_levels": data.num_levels}
    recipe = learning.Recipe(build_coder, given)
    coder, (one, two) = recipe.model(), stages.two(config)
    first = stages.fit_codes(config, "vqvae2", recipe, rows, one, beta=config.beta)
    model, fitted, _ = stages.fit_prior(
        config,
        "vqvae2",
        learning.Recipe(build, given | {"num_classes": data.num_classes}),
        coder,
        prior_of(config, coder, data.num_classes),
        first,
        rows,
        two,
        conds=conds,
    )
    made, classes = samples(config, data, coder, model, fitted)
    if processes.first():
        draw(config, data, coder, model, fitted, first, made)
    wanted = {name: (x, classes) for name, x in made.items()}
    return {
        "models": {"vqvae2": fitted.row} | stages.simple(data),
        "data": config.data,
        "published": data.published,
        **stages.judged(config, data, wanted),
    }


def samples(config: Config, data: Any, coder: quantized.Coder, model: Any, fitted: Any) -> tuple:
    """{name: pictures} from uniform codes and from the prior; and the classes asked for."""
    num = max(config.num_samples, 2 * config.num_shown)
    classes = np.arange(num) % data.num_classes if data.num_classes else None
    cond = None if classes is None else sets.one_hot(classes, data.num_classes)
    alone = {"coder": fitted.params["coder"], "prior": {}}
    uniform_key, key = jax.random.split(jax.random.key(config.seed + 2))
    made = {
        "codes at random": stages.drawn(quantized.with_prior(coder), alone, uniform_key, num),
        "codes of the prior": stages.drawn(model, fitted.params, key, num, cond),
    }
    return {name: np.asarray(x) for name, x in made.items()}, classes


def completed(model: Any, params: Params, key: Key, codes: Any, cond: Any) -> Any:
    """Pictures with the top codes of `codes`; the levels below are drawn from their prior."""
    top = codes[0]

    def choose(dist, seen):
        """The given codes at the top; a draw at each level below."""
        key, fixed = seen
        if fixed is not None:
            return fixed, dist.log_prob(fixed)
        return dist.sample_and_log_prob(seed=key)

    keys = jax.random.split(key, len(codes) + 1)
    seen = [(k, top if i == 0 else None) for i, k in enumerate(keys[:-1])]
    drawn, _ = model.prior(params, cond).walk(choose, tuple(seen))
    return model.likelihood(params, drawn).mean()


def draw(
    config: Config,
    data: Any,
    coder: quantized.Coder,
    model: Any,
    fitted: Any,
    first: fitting.Fitted,
    made: Any,
) -> None:
    """Saves reconstructions, levels, samples, curves and, by class, classes as .png files."""
    shown = config.num_shown
    order = np.random.default_rng(config.seed).permutation(len(data.rows["test"][0]))
    x, *cond = (part[np.resize(order, 2 * shown)] for part in data.rows["test"])
    of_shown = cond[0][:shown] if cond else None
    codes = stages.encoded(coder, first.params, x[:shown])
    keys = jax.random.split(jax.random.key(config.seed + 1))
    again = jax.jit(lambda params, c: model.likelihood(params, c).mean())(fitted.params, codes)
    fill = jax.jit(lambda params, key, c: completed(model, params, key, c, of_shown))
    tops = [fill(fitted.params, key, codes) for key in keys]
    if data.num_classes:
        names = tuple(map(str, range(data.num_classes)))
        figure = stages.by_class(made["codes of the prior"], names, shown, data.num_levels)
        plots.save(figure, config.directory / "classes.png")
    rows = {
        "reconstructions": {"test data": x[:shown], "E[x | codes]": again},
        "levels": {
            "test data": x[:shown],
            "all codes kept": again,
            "top kept, the rest drawn": tops[0],
            "... drawn again": tops[1],
        },
        "samples": {"test data": x} | {name: of[: 2 * shown] for name, of in made.items()},
    }
    for name, groups in rows.items():
        pictures = np.concatenate(list(groups.values()))
        figure = stages.images(pictures, shown, list(groups), data.num_levels)
        plots.save(figure, config.directory / f"{name}.png")
    bits = {"stage one, uniform prior": first.curves["valid_bits_per_dim"]}
    figure = plots.curves(bits, xlabel="step", ylabel="validation bound, bits/dim")
    plots.save(figure, config.directory / "curves.png")


def show(found: dict) -> None:
    stages.show(found)
    stages.show_judged(found)
    fitting.tell(found["models"])


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=5)
