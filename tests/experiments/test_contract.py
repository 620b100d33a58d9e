"""Every experiment with every model that it names, up to a step of training: all is traced only.

`main` runs until it trains. There a step, and the score that chooses the best one, are traced: the
shapes of a state are those after a step, a loss is a number, and a score is one of each row.
"""

import json
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax import diffusion, objectives
from dgm_jax.data import ENERGIES, TOYS
from dgm_jax.learning.recipes import rebuilt
from dgm_jax.protocol import LatentVariable
from experiments import fitting
from experiments.autoregressive import audio, binary, digits, text
from experiments.autoregressive import images as pixels
from experiments.diffusion import digits as noised
from experiments.diffusion import images as larger
from experiments.flows import compare, distill, ffjord, images, planar, tabular, toy
from experiments.quantized import gumbel
from experiments.vae import bits
from experiments.vae import compare as codes
from tests.experiments import published_sets

SMALL = {"hidden": (4,), "num_layers": 1}
PIXELS = {"hidden": 4, "num_layers": 1, "num_components": 2}
IMAGES = {"hidden": 4, "num_blocks": 0, "num_steps": 1, "num_components": 2}
IMAGES |= {"num_couplings": (1, 1, 1), "noise_couplings": 1}
SOUND = {"length": 20, "hidden": 2, "cycle": 2, "num_cycles": 1, "units": 2, "window": 2}
SOUND |= {"widths": (3,), "num_components": 2, "orders": ()}
CODES = {"hidden": (4, 4), "num_latents": 2, "num_components": 2, "channels": 2, "num_layers": 1}
NOISED = {"hidden": 4, "num_steps": 2, "chain_steps": 4}
CASES = [
    *((compare, {"models": (name,), **SMALL}) for name in ("maf", "iaf", "realnvp")),
    (images, {"models": ("realnvp",), **IMAGES}),
    (images, {"models": ("glow",), "dequantization": "variational", **IMAGES}),
    (images, {"models": ("flow++",), "class_conditional": True, **IMAGES}),
    *(
        (tabular, {"models": (name,), "num_bins": 3, **SMALL})
        for name in ("maf", "realnvp", "nsf-coupling", "nsf", "made", "made-mog")
    ),
    (distill, SMALL),
    (ffjord, {"toys": (), "digits_hidden": (4, 4)}),
    *((audio, {"models": (name,), **SOUND}) for name in ("wavenet", "gru", "lstm", "markov")),
    (audio, {"models": ("wavenet",), **SOUND, "class_conditional": True}),
    (audio, {"models": ("markov",), **SOUND, "conditional": "categorical", "encoding": "one-hot"}),
    (binary, {"hidden": (4,)}),
    (binary, {"data": "binarized_mnist", "hidden": (4,), "num_masks": 2}),
    *(
        (digits, {"models": (name,), "hidden": (4,), "num_components": 2, "num_masks": 2})
        for name in ("one-hot", "categorical", "mixture", "masks", "any-order")
    ),
    *(
        (pixels, {"models": (name,), "class_conditional": name == "gated", **PIXELS})
        for name in pixels.MAKE
    ),
    (pixels, {"models": ("gated",), "data": "binarized_mnist", **PIXELS}),
    (pixels, {"models": ("pixelcnn",), "conditional": "categorical", **PIXELS}),
    (text, {"hidden": 4, "num_layers": 1, "num_heads": 2, "length": 16}),
    *((codes, {"models": (name,), **CODES}) for name in codes.SETTINGS),
    *(
        (bits, {"models": (name,), "hidden": (3,), "num_latents": 2})
        for name in ("dreg", "vamp", "two-layers")
    ),
    (larger, {"data": "digits", **NOISED}),
    *((noised, {"models": (name,), **NOISED}) for name in typing.get_args(noised.ModelName)),
    *(
        (gumbel, {"estimators": (name,), "num_codes": 2, "num_categories": 3})
        for name in ("score-function", "leave-one-out", "muprop", "annealed", "gumbel-hard")
    ),
]


class Trained(Exception):
    """What was reached."""


def shapes(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


VALID = {}  # the rows of the last task


def check_recipe(recipe, params):
    """The model that a run tells of takes its parameters, and scores the data as they are."""
    model = rebuilt(json.loads(json.dumps(recipe.record())))
    recipe.check(params)
    x, *cond = jax.tree.map(lambda part: part[:3], VALID["rows"])
    score = jax.eval_shape(lambda p: log_prob(model, p, x, *cond), params)
    drawn = jax.eval_shape(lambda p: sample(model, p, *cond), params)
    assert score.shape == (3,) and drawn.shape[drawn.ndim - x.ndim + 1 :] == x.shape[1:]
    if isinstance(model, diffusion.Denoiser):
        return
    assert jnp.issubdtype(drawn.dtype, jnp.integer) == jnp.issubdtype(x.dtype, jnp.integer)


def log_prob(model, params, x, *cond):
    if isinstance(model, LatentVariable):
        return objectives.log_weights(model, params, jax.random.key(0), x, *cond)[0]
    if isinstance(model, diffusion.Denoiser):
        x = diffusion.scaled(x, 17)
        given = cond if model.cond_shape else []
        return diffusion.continuous_bound(model, params, jax.random.key(0), x, *given).total
    return model.dist(params, *cond).log_prob(x)


def sample(model, params, *cond):
    if isinstance(model, diffusion.Denoiser):
        given = cond if model.cond_shape else []
        return diffusion.sample(model, params, jax.random.key(0), 3, *given, num_steps=2)
    if not isinstance(model, LatentVariable):
        return model.dist(params, *cond).sample(seed=jax.random.key(0))
    z = model.prior(params, *cond).sample(seed=jax.random.key(0))
    return model.likelihood(params, z, *cond).sample(seed=jax.random.key(1))


def train(algorithm, key, batch=None, *, evaluate=None, fixed=None, recipe, **options):
    """A step of `learning.train`, traced."""
    assert options["num_steps"] > 0
    state = jax.eval_shape(algorithm.init, key)
    given = {} if fixed is None else {"fixed": fixed}
    now = None if batch is None else batch(0)
    after, metrics = jax.eval_shape(algorithm.step, state, key, now, **given)
    assert shapes(after) == shapes(state)
    assert all(metric.shape == () for metric in metrics.values()) and "loss" in metrics
    if evaluate is not None:
        evaluate(algorithm.params(state), key)
    check_recipe(recipe, algorithm.params(state))
    raise Trained


def likelihood_task(log_prob, rows, **options):
    def evaluate(params, key):
        some = jax.tree.map(lambda part: part[:3], rows["valid"])
        assert jax.eval_shape(log_prob, params, key, some).shape == (3,)

    VALID["rows"] = rows["valid"] if isinstance(rows["valid"], tuple) else (rows["valid"],)
    return fitting.Task(evaluate, None, monitor="valid_nll")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("sets")
    return published_sets.bits(made, "binarized_mnist/binarized_mnist.npz", (28, 28))


def name_of(value):
    if not isinstance(value, dict):
        return value.__name__.removeprefix("experiments.")
    names = value.get("models", ()) + value.get("estimators", ())
    return " ".join(map(str, names)) or str(value.get("data", ""))


@pytest.mark.parametrize(("module", "options"), CASES, ids=name_of)
def test_each_model_is_built_scored_and_learned(module, options, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting.learning, "train", train)
    monkeypatch.setattr(fitting, "likelihood_task", likelihood_task)
    if module in (digits, binary, text, audio):
        monkeypatch.setattr(fitting, "fit_table", lambda *_, **__: (None, None, {}))
    config = module.Config(workdir=tmp_path, data_dir=folder, batch_size=4, **options)
    with pytest.raises(Trained):
        module.main(config)


LEARNERS = {
    **{
        f"toy {name}": (toy, {"hidden": (4,), "num_layers": 2}, name)
        for name in toy.LINEAR + ("maf", "iaf", "realnvp", "nice", "nsf", "mixture")
    },
    **{
        f"planar {name}": (planar, {}, name)
        for name in ("planar", "orthogonal", "householder", "triangular")
    },
}


@pytest.mark.parametrize("case", LEARNERS)
def test_each_flow_of_the_plane_is_built_and_learned(case):
    """In one compiled function of a key, which is traced here; its parameters score."""
    module, options, name = LEARNERS[case]
    config = module.Config(num_steps=3, batch_size=4, **options)
    if module is toy:
        model, truth = toy.build(config, name), TOYS["moons"]()
        learn = lambda key: toy.learn(config, model, truth, key)
    else:
        model = planar.build(name, 2)
        learn = lambda key: planar.learn(config, model, ENERGIES["u2"], key)
    params, norms = jax.eval_shape(learn, jax.random.key(0))
    assert norms.shape == (3,)  # of the gradient of each step
    assert shapes(params) == shapes(jax.eval_shape(model.init, jax.random.key(0)))
    score = jax.eval_shape(lambda p, x: model.dist(p).log_prob(x), params, jnp.zeros((3, 2)))
    assert score.shape == (3,)


def test_a_student_learns_from_its_teacher(tmp_path, monkeypatch):
    monkeypatch.setattr(distill.learning, "train", train)
    config = distill.Config(workdir=tmp_path, student_layers=1, batch_size=4, **SMALL)
    teacher, student = (distill.build(config, 5, name) for name in ("teacher", "student"))
    made = jax.eval_shape(teacher.init, jax.random.key(0))
    taught = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), made)
    VALID["rows"] = (np.zeros((3, 5), np.float32),)
    scaling = {"num_levels": None, "mean": np.zeros(5), "std": np.ones(5)}
    with pytest.raises(Trained):
        distill.learn_student(config, student, scaling, teacher, taught)


def test_a_continuous_flow_of_the_plane_is_learned():
    config = ffjord.Config(toy_steps=2, toy_hidden=(4,))
    learn = lambda key: ffjord.learn_toy(config, "cnf", TOYS["moons"](), key)
    made = jax.eval_shape(ffjord.on_the_plane(config, "cnf", 1e-4).init, jax.random.key(0))
    assert shapes(jax.eval_shape(learn, jax.random.key(0))) == shapes(made)
