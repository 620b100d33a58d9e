"""One good call of each public function, and the kind of each of its arguments."""

import functools
import inspect
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax

import dgm_jax
from dgm_jax import (
    autoregressive,
    bijectors,
    combinators,
    data,
    diffusion,
    disentangled,
    distributions,
    flows,
    gans,
    inference,
    learning,
    likelihoods,
    measure,
    metrics,
    nets,
    objectives,
    plots,
    protocol,
    quantized,
    runs,
    vae,
)
from tests.helpers import drawn, points
from tests.sweep.values import (
    ANYTHING,
    COND_SHAPE,
    EITHER,
    FLAG,
    FLOATS,
    FUNCTION,
    IMAGE,
    INSIDE,
    KEY,
    NOT_NEGATIVE,
    NUMBER,
    PATH,
    POSITIVE,
    REFUSED,
    SEED,
    SHAPE,
    SHARE,
    TEXT,
    WEIGHT,
    WIDTHS,
    Kind,
    arrays,
    choice,
    is_whole,
    mask,
    noun,
    optional,
    or_one,
    permutation,
    real,
    sizes,
    whole,
)

RAW_KEY = jax.random.key(0)


class Entry(NamedTuple):
    call: Callable
    good: dict[str, Any]
    kinds: dict[str, Kind]
    told: dict[str, str] = {}  # argument: the name that an error tells, where it is another
    raises: tuple[type, ...] = ()  # documented beside ValueError and TypeError of ours
    costly: bool = False  # seconds a call: only what must be refused is swept


# ------------------------------------------------------------------------- what is swept
PACKAGES = [name for name in dgm_jax.__all__ if name not in ("protocol", "checks", "arrays")]
INNER = {  # public to their own package, or given code and not values
    "runs.benchmark": "the frame of a command, given its code",
    "runs.experiment": "the frame of a command, given its code",
    "runs.keep": "the frame of a command, given its code",
    "runs.keep_memory": "takes nothing",
    "runs.parse": "the frame of a command, given its code",
    "plots.tile": "a part of sample_grid",
    "plots.principal_plane": "a part of latent_space",
    "plots.plane_points": "a part of densities",
    "plots.on_grid": "a part of densities",
    "plots.line": "a part of curves",
    "plots.label_ends": "a part of curves",
    "plots.new_figure": "a part of every picture",
    "plots.plain": "a part of every picture",
}


def public() -> dict[str, Callable]:
    """Functions and classes with code, by the package that shows them: dgm_jax.<package>.<name>."""
    found = {}
    for package in PACKAGES:
        module = getattr(dgm_jax, package)
        for name, value in vars(module).items():
            home = getattr(value, "__module__", "")
            ours = callable(value) and home.startswith(f"dgm_jax.{package}")
            fields_only = inspect.isclass(value) and issubclass(value, (tuple, BaseException))
            dataclass = hasattr(value, "__dataclass_fields__")
            if ours and not name.startswith("_") and not fields_only and not dataclass:
                found[f"{package}.{name}"] = value
    return found


def subpackages() -> list[str]:
    """Those whose names no package shows would be missed."""
    return [info.name for info in pkgutil.iter_modules(dgm_jax.__path__)]


# ---------------------------------------------------------------- small models to sweep on
H = {"hidden": (4,)}
LAW = bijectors.affine()
FLOW = flows.coupling(3, hidden=(4,))
BASE = distributions.standard_normal(3)
MODEL = combinators.pushforward(FLOW, BASE)
PARAMS = drawn(MODEL)
X = points(5, 3)
CONDITIONAL = likelihoods.bernoulli()
CATEGORICAL = likelihoods.categorical(3)
MADE = nets.made(3, hidden=(4,), num_outputs=2)
MADE_BITS = autoregressive.made(3, CONDITIONAL, hidden=(4,))
BITS = np.array([[0, 1, 1], [1, 0, 1]])
NOISE = distributions.uniform_noise((3,))
NET = nets.mlp(2, 4, hidden=(3,))
ACTNORM = combinators.pushforward(flows.actnorm(3), BASE)
VECTOR, SQUARE = points(3), np.eye(3, dtype=np.float32)[[2, 0, 1]]
FIELD = flows.mlp_field(3, hidden=(4,))
CNF = combinators.pushforward(flows.cnf(3, hidden=(4,)), BASE)
TINY_IMAGE = (4, 4, 2)
STUDENT = combinators.pushforward(flows.iaf(3, hidden=(4,), num_layers=1), BASE)


first_batch = data.batches


def diagonal(f):
    return distrax.MultivariateNormalDiag(f[..., :2], jnp.exp(f[..., 2:]))


DECODER = combinators.conditional(NET, diagonal, cond_shape=(2,))
LATENT = combinators.latent_variable(distributions.standard_normal(2), DECODER, DECODER)


def value_of(net):
    """A critic: the one output of a net as a number for each sample."""
    return protocol.Net(
        net.init, lambda params, *x, key=None: net.apply(params, *x, key=key)[..., 0]
    )


A_CALLABLE = Kind(lambda v: EITHER if callable(v) else REFUSED)
GAN = combinators.adversarial(
    distributions.standard_normal(2), nets.mlp(2, 3, hidden=(4,)), value_of(nets.mlp(3, 1, **H))
)
GAN_PARAMS, GAN_STATE = GAN.init(RAW_KEY)
PLAYED = {
    "model": GAN,
    "game": objectives.hinge(),
    "params": GAN_PARAMS,
    "key": RAW_KEY,
    "x": X,
    "state": GAN_STATE,
}
KL = objectives.f_divergence("kl")
INFERENCE = gans.implicit_net(2, 2, num_noise=3, num_basis=2, hidden=(3,), noise_hidden=(3,))
AVB = gans.avb(
    INFERENCE,
    nets.mlp(2, 2, hidden=(3,)),
    likelihoods.bernoulli(),
    2,
    num_latents=2,
    num_noise=3,
)
AVB_CRITIC = nets.mlp((2, 2), 1, hidden=(3,))
ENCODED = flows.coupling(3, hidden=(4,), cond_shape=(4,))
VAE = vae.vae(NET, nets.mlp(2, 2, hidden=(3,)), CONDITIONAL, 2, num_latents=2)

INFOGAN = disentangled.infogan(
    nets.mlp(6, 3, hidden=(3,)),
    nets.mlp(3, 4, hidden=(3,)),
    num_features=4,
    num_noise=2,
    categories=(3,),
    num_continuous=1,
)
INFOGAN_PARAMS, INFOGAN_STATE = INFOGAN.init(jax.random.key(1))
OF_AGGREGATE = choice("stratified", "plain", "weighted")
CODE_CRITIC = nets.mlp(2, 1, hidden=(3,))
OF_CODES = {"model": VAE, "params": drawn(VAE), "key": RAW_KEY, "x": BITS[:, :2], "num_data": 9}
PLAYED_CODES = OF_CODES | {
    "critic": CODE_CRITIC,
    "params": {"model": drawn(VAE), "critic": drawn(CODE_CRITIC)},
}

CODEBOOK, CODES = points(4, 3), np.array([0, 3, 2])
CODED_BY = quantized.gradient_codebook(4, 3)
MAP_NETS = [
    nets.map_encoder(TINY_IMAGE, 3, hidden=(2,)),
    nets.map_decoder(3, TINY_IMAGE, 2, hidden=(2,)),
]
VQVAE = quantized.vqvae(*MAP_NETS, CONDITIONAL, TINY_IMAGE, CODED_BY)
VQVAE_PARAMS = drawn(protocol.Net(lambda key: VQVAE.init(key)[0], None))
PIXELS_OF_CODES = np.ones((2, *TINY_IMAGE), np.int32)
QUANTISED_GAN = combinators.adversarial(
    distributions.standard_normal(2),
    nets.mlp(2, 3, hidden=(4,)),
    quantized.quantised_critic(nets.mlp(3, 3, **H), CODED_BY, value_of(nets.mlp(3, 1, **H))),
)
QUANTISED_GAME = PLAYED | dict(zip(("params", "state"), QUANTISED_GAN.init(jax.random.key(2))))
QUANTISED_GAME |= {"model": QUANTISED_GAN}
LEVELS_OF_CODES = quantized.vqvae2(
    TINY_IMAGE, CONDITIONAL, (CODED_BY, CODED_BY), halvings=(1, 1), hidden=2
)
PRIORS_OF_CODES = [
    autoregressive.pixelcnn(shape, likelihoods.categorical(4), hidden=2, num_layers=1, cond_shape=c)
    for shape, c in (((1, 1, 1), None), ((2, 2, 1), (2, 2, 2)))
]
CATEGORIES = {"codes": 2, "num_categories": 3}
CODER = (nets.mlp(3, 6, hidden=(3,)), nets.mlp(6, 3, hidden=(3,)))
CATEGORICAL_VAE = quantized.categorical_vae(*CODER, CONDITIONAL, 3, **CATEGORIES)
OF_CATEGORIES = {
    "model": CATEGORICAL_VAE,
    "params": drawn(CATEGORICAL_VAE),
    "key": RAW_KEY,
    "x": BITS,
}

DENOISER = diffusion.denoiser(
    nets.time_mlp(3, hidden=(3,), num_waves=2), (3,), diffusion.linear_log_snr()
)
TOLD = diffusion.denoiser(
    nets.time_mlp(3, hidden=(3,), num_waves=2, cond_shape=(2,)),
    (3,),
    diffusion.linear_log_snr(),
    cond_shape=(2,),
)
WITH_VARIANCES = diffusion.denoiser(
    nets.time_mlp(3, hidden=(3,), num_waves=2, out_dim=6),
    (3,),
    diffusion.linear_log_snr(),
    learned_variance=True,
)
NOISY_NET = nets.time_mlp(3, hidden=(3,), num_waves=2, out_dim=2)
DENOISED = {"model": DENOISER, "params": drawn(DENOISER), "key": RAW_KEY, "x": X}
OF_TARGETS = choice("noise", "data", "v", "score", "velocity")

LINEAR = vae.linear_vae(3, 2, variance=1.0)
PIXELS = autoregressive.pixelcnn(
    (2, 2, 1), CONDITIONAL, hidden=2, num_layers=1, cond_shape=(2, 2, 1)
)
IMAGE_ENCODER = protocol.Net(
    nets.mlp(4, 4, hidden=(3,)).init,
    lambda params, x, key=None: nets.mlp(4, 4, hidden=(3,)).apply(
        params, x.reshape(*x.shape[:-3], -1), key=key
    ),
)


GROWING = {
    "shape": Kind(
        lambda v: (
            REFUSED
            if (c := IMAGE.canonical(v)) is REFUSED or c[0] != c[1] or c[0] not in (4, 8, 16)
            else c
        )
    ),
    "num_latents": whole(),
    "channel_base": whole(),
    "channel_max": whole(),
    "group_size": optional(whole(2)),
    "axis_name": optional(TEXT),
}
SMALL_GAN = {"shape": (4, 4, 1), "num_latents": 2, "channel_base": 8}


def traced(function):
    """What is said of shapes and kinds, and of numbers that are known: nothing is compiled."""

    @functools.wraps(function)
    def call(*args, **options):
        return jax.eval_shape(lambda: function(*args, **options))

    return call


@functools.wraps(learning.train)
def trained(*args, **options):
    found = learning.train(*args, **options)
    return found.state, found.params, found.history


@functools.wraps(learning.fit_to_data)
def fitted(*args, **options):
    return learning.fit_to_data(*args, **options).params


def first_sum(key, x):
    return (x[0] if isinstance(x, tuple) else x).sum(-1)


def decay(key):
    return {"w": jnp.ones(2)}


def square(params, key, batch):
    return (params["w"] ** 2).sum(), {}


DESCENT = learning.gradient_descent(decay, square, optax.sgd(0.1))
STILL = protocol.Algorithm(
    lambda key: {"w": jnp.ones(2)}, lambda state, key, batch: (state, {"m": jnp.zeros(())})
)


def opened(directory, keep):
    with learning.Checkpoints(directory, keep=keep) as checkpoints:
        return checkpoints.directory.name


class Dense(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(2)(x)


class Normed(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        return linen.BatchNorm(use_running_average=not train)(x)


ROWS_OF_FEATURES = arrays("fib", event=1, lists=True)
RBF = metrics.rbf_kernel(1.0)
OWN_FUNCTION = Kind(lambda v: EITHER if callable(v) else REFUSED)
LABELLED = np.asarray(X, float), np.array([1.0, 0.0, 1.0, 0.0, 1.0]), np.asarray(X, float)
STATES = np.tile(np.stack(np.meshgrid(range(2), range(3)), -1).reshape(-1, 2), (4, 1))
OF_CODES = {
    "codes": arrays("fib", event=-1, lists=True),
    "factors": arrays("fib", event=-1, lists=True),
    "num_bins": whole(2),
    "binning": choice("width", "quantile"),
    "num_shuffles": Kind(lambda v: int(v) if is_whole(v) and v in (0, 2) else REFUSED),
    "num_train": Kind(lambda v: EITHER if is_whole(v) and 0 < v < 2**31 else REFUSED),
    "num_test": whole(),
    "batch_size": whole(2),
    "threshold": NOT_NEGATIVE,
    "standardise": FLAG,
    "predictor": Kind(lambda v: EITHER if v is None or callable(v) else REFUSED),
}
FEW_BATCHES = {"num_train": 100, "num_test": 10, "batch_size": 4}
CODED = np.asarray(points(len(STATES), 3), np.float64)
SHARE_OF_ROWS = Kind(lambda v: EITHER if POSITIVE.canonical(v) is not REFUSED else REFUSED)


# ------------------------------------------------------------- kinds by the usual names
DICT = Kind(lambda v: EITHER if isinstance(v, dict) else REFUSED)
LAW_OR_NONE = optional(noun(bijectors.affine))
COND = Kind(lambda v: None if v is None else REFUSED)  # of models without a condition
PARAMETERS = noun()
USUAL = {
    "dim": whole(),
    "num_layers": whole(),
    "num_outputs": whole(),
    "num_components": whole(),
    "num_blocks": whole(0),
    "num_samples": whole(),
    "num_scales": whole(),
    "num_steps": whole(),
    "num_levels": whole(2),
    "hidden": WIDTHS,
    "shape": IMAGE,
    "window": whole(),
    "kernel_size": whole(),
    "first_kernel_size": whole(),
    "cond_shape": COND_SHAPE,
    "activation": FUNCTION,
    "dropout": SHARE,
    "residual": FLAG,
    "direct": optional(FLAG),
    "unroll": FLAG,
    "recompute": FLAG,
    "shared": FLAG,
    "zero_last": FLAG,
    "inverse": choice("unit_once", "fixed_point", "block_fixed_point", "naive"),
    "density_blocks": optional(whole()),
    "tolerance": NOT_NEGATIVE,
    "bound": POSITIVE,
    "law": LAW_OR_NONE,
    "net": FUNCTION,
    "event_ndims": whole(),
    "seed": SEED,
    "key": KEY,
    "cond": COND,
    "params": PARAMETERS,
    "solver": noun(bijectors.ode_solver),
    "encoding": optional(noun(nets.one_hot)),
    "conditional": noun(likelihoods.bernoulli),
    "order": optional(permutation(3)),
    "head": optional(noun()),
    "noise": choice("rademacher", "gaussian"),
    "num_heads": whole(),
    "positions": choice("learned", "rotary"),
    "form": choice("plu", "qr"),
    "x": arrays("f", event=1),
    "model": noun(flows.maf),
    "title": TEXT,
    "logx": FLAG,
    "logy": FLAG,
    "axis_name": optional(TEXT),
    "init": FUNCTION,
    "init_state": optional(FUNCTION),
    "weights": optional(DICT),
    "ema_decay": optional(INSIDE),
}


def of(call: Callable, good: dict | None = None, told=None, raises=(), **kinds: Kind) -> Entry:
    """An entry whose kinds are the usual ones of their names, but for those given."""
    names = [p for p in inspect.signature(call).parameters if p != "self"]
    every = {name: kinds.get(name) or USUAL.get(name) for name in names}
    missing = [name for name, kind in every.items() if kind is None]
    assert not missing and kinds.keys() <= set(names), (call, missing, kinds.keys() - set(names))
    return Entry(call, good or {}, every, told or {}, raises)


MADE_OPTIONS = {"num_blocks": optional(whole())}
OF_LAYER = {"hidden": sizes(fewest=1), **MADE_OPTIONS}
PICTURE = {"shape": (2, 2, 1), "hidden": 2, "num_layers": 1}
ONE_WIDTH = {"hidden": whole()}
HIDDEN_OF_EACH = Kind(  # the widths of one layer
    lambda v: (
        tuple(map(WIDTHS.canonical, v)) if isinstance(v, (list, tuple)) and len(v) == 1 else REFUSED
    )
)
OF_A_PLAYER = {  # whose images have a least size
    "shape": Kind(lambda v: EITHER if IMAGE.canonical(v) is not REFUSED else REFUSED),
    **ONE_WIDTH,
}
FLOW_OF_IMAGES = {"shape": TINY_IMAGE, "hidden": 2, "num_blocks": 1}
OF_PIXELS = {
    "encoder": noun(nets.mlp),
    "decoder": noun(nets.mlp),
    "causal": noun(autoregressive.pixelcnn),
    "likelihood": noun(likelihoods.bernoulli),
    "shape": or_one(SHAPE),
    "num_latents": whole(),
    "prior": optional(noun(distributions.standard_normal)),
    "posterior": optional(noun(vae.diagonal)),
}

PRIOR = inference.NormalGamma(0.0, 1.0, 1.0, 1.0)
SAMPLED = {
    "model": noun(combinators.latent_variable),
    "x": arrays("fib", event=1, lists=True),
    "chunk_size": whole(),
    "batch_size": whole(),
    "num_rows": whole(),
    "num_chains": whole(),
    "num_leapfrogs": whole(),
    "start": choice("prior", "posterior"),
    "step_size": POSITIVE,
    "acceptance": SHARE,
}

OF_MIXTURES = choice("full", "tied", "diagonal", "spherical")
CONJUGATE = inference.normal_inverse_wishart(jnp.zeros(3), jnp.eye(3))
OF_EM = {
    "start": arrays("f", event=-1),
    "covariance": OF_MIXTURES,
    "floor": NOT_NEGATIVE,
    "min_rows": NOT_NEGATIVE,
    "start_steps": whole(0),
    "form": optional(choice("features", "centred")),
    "chunk": optional(whole()),
}
IN_ONE_CALL = {name: kind for name, kind in OF_EM.items() if name != "start"} | {
    "x": arrays("f", event=-1),
    "num_restarts": whole(),
}

TEMPERATURE = Kind(lambda v: EITHER if isinstance(v, jax.Array) else POSITIVE.canonical(v))
NAMED_CODES = {"codes": or_one(SHAPE), "num_categories": whole(2)}
OF_A_LOSS = {
    "model": noun(combinators.latent_variable),
    "x": arrays("fib", event=1, nan=EITHER),
    "temperature": TEMPERATURE,
    "beta": WEIGHT,
    "baseline": arrays("fib", event=0, numbers=True, nan=EITHER),
    "hard": FLAG,
    "parts_key": optional(KEY),
}

OF_VARIANCES = Kind(
    lambda v: (
        (EITHER if v in ("posterior", "upper") or callable(v) else REFUSED)
        if isinstance(v, str) or callable(v)
        else REFUSED
    )
)
ABOVE_LEAST = Kind(lambda v: EITHER if NUMBER.canonical(v) is not REFUSED else REFUSED)
OF_RATES = Kind(lambda v: EITHER if POSITIVE.canonical(v) is not REFUSED else REFUSED)

TABLE = {
    # ------------------------------------------------------------------------- bijectors
    "bijectors.Autoregressive": of(
        bijectors.Autoregressive,
        {"net": MADE, "params": drawn(MADE), "law": LAW, "dim": 3},
        net=noun(nets.made),
        params=ANYTHING,
        law=noun(bijectors.affine),
        key=optional(KEY),
    ),
    "bijectors.MixtureLogisticCDF": of(
        bijectors.MixtureLogisticCDF,
        {
            "mixture": bijectors.Mixture(*np.zeros((3, 3, 2), np.float32)),
            "log_scale": VECTOR,
            "shift": VECTOR,
            "dtype": np.float32,
        },
        mixture=noun(),
        log_scale=arrays("f", event=0),
        shift=arrays("f", event=0),
        dtype=noun(),
    ),
    "bijectors.mixture_logistic_cdf": of(bijectors.mixture_logistic_cdf),
    "bijectors.Continuous": of(
        bijectors.Continuous,
        {"field": FIELD, "params": drawn(FIELD), "dim": 3},
        field=noun(flows.mlp_field),
        params=ANYTHING,
        key=optional(KEY),
    ),
    "bijectors.divergence_by_autodiff": of(bijectors.divergence_by_autodiff, velocity=FUNCTION),
    "bijectors.ode_solver": of(
        bijectors.ode_solver,
        time=POSITIVE,
        rtol=POSITIVE,
        atol=POSITIVE,
        max_steps=whole(),
        adjoint=choice("recursive", "backsolve", "direct"),
    ),
    "bijectors.Coupling": of(
        bijectors.Coupling,
        {"mask": np.array([True, False]), "conditioner": jnp.sin, "law": LAW},
        mask=mask(2)._replace(more=lambda good: {}),
        conditioner=FUNCTION,
        law=noun(bijectors.affine),
    ),
    "bijectors.FactorOut": of(
        bijectors.FactorOut,
        {"rest": distrax.Inverse(bijectors.flatten((2, 2, 1))), "shape": (2, 2, 2)},
        rest=noun(bijectors.flatten),
    ),
    "bijectors.additive": of(bijectors.additive),
    "bijectors.affine": of(bijectors.affine),
    "bijectors.contraction": of(bijectors.contraction, least=INSIDE),
    "bijectors.Diagonal": of(
        bijectors.Diagonal,
        {"log_scale": VECTOR},
        log_scale=arrays("f", event=-1),
        shift=optional(FLOATS),
    ),
    "bijectors.Orthogonal": of(bijectors.Orthogonal, {"matrix": SQUARE}, matrix=FLOATS),
    "bijectors.Triangular": of(
        bijectors.Triangular,
        {"matrix": SQUARE, "log_diagonal": VECTOR, "lower": True},
        matrix=FLOATS,
        log_diagonal=FLOATS,
        lower=FLAG,
    ),
    "bijectors.householder": of(
        bijectors.householder, {"vectors": points(2, 3)}, vectors=arrays("f", event=-1)
    ),
    "bijectors.NormalLogitCDF": of(bijectors.NormalLogitCDF),
    "bijectors.Permutation": of(
        bijectors.Permutation, {"order": [2, 0, 1]}, order=Kind(lambda v: EITHER)
    ),
    "bijectors.increasing_root": of(
        bijectors.increasing_root,
        {"f": lambda x: x**3 - 2, "low": np.zeros(2, np.float32), "high": 2 + points(2) ** 2},
        f=Kind(lambda v: EITHER if callable(v) else REFUSED),
        low=FLOATS,
        high=FLOATS,
        told={"low": "(low|high)"},
        raises=(TypeError,),
    ),
    "bijectors.Scan": of(
        lambda layer, params, num_layers, unroll, recompute: bijectors.Scan(
            layer, params, num_layers, unroll=unroll, recompute=recompute
        ),
        {
            "layer": bijectors.Diagonal,
            "params": np.zeros((2, 3), np.float32),
            "num_layers": 2,
            "unroll": False,
            "recompute": False,
        },
        layer=Kind(lambda v: EITHER if callable(v) else REFUSED),
        params=ANYTHING,
        raises=(TypeError,),
    ),
    "bijectors.rational_quadratic_spline": of(
        bijectors.rational_quadratic_spline,
        num_bins=whole(),
        min_width=POSITIVE,
        min_height=POSITIVE,
        min_slope=POSITIVE,
    ),
    "bijectors.Rearrangement": of(
        bijectors.Rearrangement,
        {"shape_in": (2, 2), "shape_out": (4,), "to": jnp.ravel, "back": jnp.ravel},
        shape_in=SHAPE,
        shape_out=SHAPE,
        to=FUNCTION,
        back=FUNCTION,
    ),
    "bijectors.checkerboard": of(bijectors.checkerboard, {"shape": TINY_IMAGE}),
    "bijectors.flatten": of(bijectors.flatten, {"shape": TINY_IMAGE}),
    "bijectors.squeeze": of(bijectors.squeeze, {"shape": TINY_IMAGE}),
    "bijectors.Sylvester": of(
        bijectors.Sylvester,
        {
            "a": np.zeros((3, 2), np.float32),
            "b": np.zeros((2, 3), np.float32),
            "shift": np.zeros(2, np.float32),
            "t": np.zeros((2, 2), np.float32),
        },
        a=FLOATS,
        b=FLOATS,
        shift=FLOATS,
        t=FLOATS,
        dtype=optional(noun()),
        told={"a": "[ab]"},
    ),
    # --------------------------------------------------------------------- distributions
    "distributions.Autoregressive": of(
        distributions.Autoregressive,
        {
            "net": MADE,
            "params": drawn(MADE),
            "to_dist": likelihoods.gaussian().dist,
            "shape": 3,
            "num_outputs": 2,
        },
        net=noun(nets.made),
        params=ANYTHING,
        to_dist=FUNCTION,
        shape=or_one(SHAPE),
        key=optional(KEY),
    ),
    "distributions.uniform_noise": of(distributions.uniform_noise, {"shape": (3,)}, shape=SHAPE),
    "distributions.Quantized": of(
        distributions.Quantized,
        {"distribution": BASE.dist({}), "num_levels": 2},
        distribution=noun(distributions.standard_normal),
        noise=optional(FUNCTION),
        key=optional(KEY),
    ),
    "distributions.DiscretizedLogisticMixture": of(
        distributions.DiscretizedLogisticMixture,
        {"logits": points(2, 3), "means": points(2, 3), "log_scales": points(2, 3)},
        logits=arrays("fib", event=1),
        means=arrays("fib", event=1),
        log_scales=arrays("fib", event=1),
    ),
    "distributions.DiscretizedNormal": of(
        distributions.DiscretizedNormal,
        {"mean": points(2, 3), "log_scale": points(2, 3)},
        mean=arrays("fib", event=0),
        log_scale=arrays("fib", event=0),
    ),
    **{
        f"distributions.{name}": of(
            getattr(distributions, name),
            {"logits": points(4, 3)} | ({} if name == "OneHot" else {"temperature": 0.5}),
            logits=arrays("f", event=-1),
            event_ndims=Kind(lambda v: EITHER if is_whole(v) and 0 < v < 3 else REFUSED),
            **({} if name == "OneHot" else {"temperature": TEMPERATURE}),
            told={"event_ndims": "(event_ndims|logits)"},
        )
        for name in ("OneHot", "Relaxed", "StraightThroughOneHot")
    },
    **{
        f"distributions.{name}": of(
            getattr(distributions, name),
            {"loc": points(4), "scale": jnp.ones(4)},
            loc=arrays("f", event=0),
            scale=arrays("f", event=0),
        )
        for name in ("LogitLaplace", "DiscretizedLogitLaplace")
    },
    "distributions.Dirac": of(
        distributions.Dirac,
        {"value": CODES},
        value=Kind(lambda v: EITHER),
        batch_shape=Kind(lambda v: EITHER),
    ),
    "distributions.Levels": of(
        distributions.Levels, {"logits": points(2, 3)}, logits=arrays("f", event=-1)
    ),
    "distributions.Ancestral": of(
        distributions.Ancestral,
        {"walk": lambda choose, seen: (seen, seen), "num_groups": 1},
        walk=FUNCTION,
        num_groups=whole(),
        batch_shape=or_one(sizes(0), 0),
    ),
    "distributions.ImportanceResampled": of(
        distributions.ImportanceResampled,
        {
            "proposal": BASE.dist({}),
            "log_target": lambda z: -jnp.square(z).sum(-1),
            "num_samples": 2,
        },
        proposal=noun(distributions.standard_normal),
        log_target=FUNCTION,
        num_samples=whole(),
        num_draws=whole(),
        key=optional(KEY),
    ),
    "distributions.by_entries": of(
        distributions.by_entries,
        {"p": BASE.dist({}), "q": BASE.dist({})},
        p=noun(distributions.standard_normal),
        q=noun(distributions.standard_normal),
    ),
    "distributions.divergence_at": of(
        distributions.divergence_at,
        {"p": BASE.dist({}), "q": BASE.dist({}), "log_ratio": VECTOR},
        p=noun(distributions.standard_normal),
        q=noun(distributions.standard_normal),
        log_ratio=arrays("f", event=0, nan=EITHER),
    ),
    "distributions.reparametrised": of(
        distributions.reparametrised,
        {"dist": BASE.dist({})},
        dist=noun(distributions.standard_normal),
    ),
    "distributions.standard_normal": of(distributions.standard_normal, {"dim": 3}),
    "distributions.Pushforward": of(
        distributions.Pushforward,
        {"distribution": BASE.dist({}), "bijector": FLOW.bijector(drawn(FLOW))},
        distribution=noun(distributions.standard_normal),
        bijector=noun(bijectors.affine),
        batch_shape=or_one(sizes(0), 0),
    ),
    # ------------------------------------------------------------------------------ nets
    "nets.from_linen": of(
        lambda module, shape: nets.from_linen(module, shape),
        {"module": Dense(), "shape": (2,)},
        module=noun(Dense),
        shape=or_one(sizes(0), 0),
        told={"shape": "shapes"},
    ),
    "nets.stateless": of(nets.stateless, {"net": NET}, net=noun(nets.mlp)),
    "nets.stateful": of(
        lambda module, shape: nets.stateful(module, shape),
        {"module": Normed(), "shape": (2,)},
        module=noun(Normed),
        shape=or_one(sizes(0), 0),
        told={"shape": "shapes"},
    ),
    "nets.gated_pixelcnn": of(
        nets.gated_pixelcnn, PICTURE, **ONE_WIDTH, kernel_size=whole(3), first_kernel_size=whole(3)
    ),
    "nets.pixelcnn": of(
        nets.pixelcnn, PICTURE, **ONE_WIDTH, kernel_size=whole(3), first_kernel_size=whole(3)
    ),
    "nets.pixelcnn_pp": of(nets.pixelcnn_pp, PICTURE, **ONE_WIDTH, kernel_size=whole(3)),
    "nets.pixelsnail": of(
        nets.pixelsnail, PICTURE, **ONE_WIDTH, kernel_size=whole(3), num_convs=whole()
    ),
    "nets.made": of(nets.made, {"dim": 3, "num_outputs": 2, **H}, **OF_LAYER),
    "nets.markov": of(
        nets.markov, {"dim": 3, "window": 1, "num_outputs": 2, **H}, hidden=sizes(fewest=1)
    ),
    "nets.naive": of(
        nets.naive, {"init": MADE.init, "apply": MADE.apply, "dim": 3}, apply=FUNCTION, levels=FLAG
    ),
    "nets.one_hot": of(nets.one_hot, {"num_levels": 3}),
    "nets.scaled": of(nets.scaled, {"num_levels": 3}),
    "nets.receptive_field": of(
        nets.receptive_field, {"dilations": (1, 2)}, dilations=SHAPE, kernel_size=whole(2)
    ),
    "nets.rnn": of(
        nets.rnn,
        {"dim": 3, "hidden": 2, "num_outputs": 2},
        **ONE_WIDTH,
        cell=choice("gru", "lstm"),
    ),
    "nets.transformer": of(
        nets.transformer,
        {"dim": 3, "num_outputs": 2, "hidden": 2, "num_layers": 1, "num_heads": 1},
        **ONE_WIDTH,
        window=optional(whole()),
        grid=optional(SHAPE),
    ),
    "nets.wavenet": of(
        nets.wavenet,
        {"dim": 3, "hidden": 2, "dilations": (1, 2), "num_outputs": 2},
        **ONE_WIDTH,
        dilations=SHAPE,
        kernel_size=whole(2),
        skip=optional(whole()),
    ),
    "nets.conv_resnet": of(
        nets.conv_resnet,
        {"shape": TINY_IMAGE, "out_channels": 2, "hidden": 2},
        **ONE_WIDTH,
        out_channels=whole(),
    ),
    "nets.gated_attention": of(
        nets.gated_attention,
        {"shape": TINY_IMAGE, "out_channels": 2, "hidden": 4, "num_heads": 2},
        **ONE_WIDTH,
        out_channels=whole(),
    ),
    "nets.unet": of(
        nets.unet,
        {"shape": (4, 4, 1), "hidden": 4, "multipliers": (1,), "num_blocks": 1},
        hidden=Kind(lambda v: REFUSED if whole().canonical(v) is REFUSED or v % 2 else EITHER),
        out_channels=optional(whole()),
        num_blocks=whole(),
        multipliers=Kind(
            lambda v: EITHER if sizes(fewest=1).canonical(v) is not REFUSED else REFUSED
        ),
        attention=WIDTHS,
        middle=FLAG,
        num_heads=Kind(lambda v: EITHER if whole().canonical(v) is not REFUSED else REFUSED),
        num_groups=whole(),
        fourier=Kind(lambda v: sizes(0).canonical(v) if isinstance(v, (list, tuple)) else REFUSED),
        told={"multipliers": "multipliers", "num_heads": "num_heads|hidden"},
    ),
    "nets.time_mlp": of(
        nets.time_mlp,
        {"dim": 3, "hidden": (3,), "num_waves": 2},
        num_waves=Kind(lambda v: REFUSED if whole(2).canonical(v) is REFUSED or v % 2 else int(v)),
        out_dim=optional(whole()),
    ),
    "nets.bottleneck": of(
        nets.bottleneck,
        {"in_dims": 3, "out_dim": 2, "hidden": (4,)},
        in_dims=or_one(sizes(0, fewest=1), 0),
        out_dim=whole(),
        kernels=optional(sizes(fewest=2, most=2)),
        first_activated=FLAG,
        last_scale=NOT_NEGATIVE,
    ),
    "nets.conv_encoder": of(
        nets.conv_encoder,
        {"shape": TINY_IMAGE, "out_dim": 2, "hidden": (2,)},
        out_dim=whole(),
        hidden=sizes(fewest=1),
        kernel_size=whole(2),
        num_groups=optional(whole()),
    ),
    "nets.conv_decoder": of(
        nets.conv_decoder,
        {"in_dim": 3, "shape": TINY_IMAGE, "out_channels": 2, "hidden": (2,)},
        in_dim=whole(),
        out_channels=whole(),
        hidden=sizes(fewest=1),
        kernel_size=whole(2),
        num_groups=optional(whole()),
    ),
    "nets.map_encoder": of(
        nets.map_encoder,
        {"shape": TINY_IMAGE, "out_channels": 2, "hidden": (2,)},
        out_channels=whole(),
        hidden=sizes(fewest=1),
        kernel_size=whole(2),
        num_groups=optional(whole()),
    ),
    "nets.map_decoder": of(
        nets.map_decoder,
        {"in_channels": 3, "shape": TINY_IMAGE, "out_channels": 2, "hidden": (2,)},
        in_channels=whole(),
        out_channels=whole(),
        hidden=sizes(fewest=1),
        kernel_size=whole(2),
        num_groups=optional(whole()),
    ),
    "nets.residual_features": of(
        nets.residual_features,
        {"shape": (8, 8, 1), "hidden": 2},
        **OF_A_PLAYER,
        widths=optional(WIDTHS),
        spectral=FLAG,
        orthogonal=FLAG,
    ),
    "nets.residual_head": of(
        nets.residual_head,
        {"shape": TINY_IMAGE},
        num_classes=optional(whole()),
        spectral=FLAG,
        orthogonal=FLAG,
    ),
    "nets.down_conv": of(
        nets.down_conv,
        {"x": points(4, 4, 2), "kernel": points(3, 3, 2, 1)},
        x=arrays("f", event=3),
        kernel=arrays("f")._replace(more=lambda good: {}),  # with any number of outputs
        stride=whole(most=4),
        padding=ANYTHING,
    ),
    "nets.up_conv": of(
        nets.up_conv,
        {"y": points(2, 2, 1), "kernel": points(3, 3, 2, 1), "size": (3, 4)},
        y=arrays("f", event=3),
        kernel=arrays("f"),
        stride=ANYTHING,
        padding=ANYTHING,
        size=ANYTHING,
        form=optional(choice("adjoint", "plain")),
    ),
    "nets.group_norm": of(
        nets.group_norm,
        {"x": points(2, 2, 4), "scale": points(4), "bias": points(4), "num_groups": 2},
        x=arrays("f", event=3),
        scale=arrays("f"),
        bias=arrays("f"),
        num_groups=whole(),
        epsilon=POSITIVE,
    ),
    "nets.equalised_dense": of(
        nets.equalised_dense,
        {"in_dim": 2, "out_dim": 3},
        in_dim=whole(),
        out_dim=whole(),
        gain=POSITIVE,
        lr_multiplier=POSITIVE,
        use_bias=FLAG,
        start_bias=NUMBER,
    ),
    "nets.equalised_conv": of(
        nets.equalised_conv,
        {"in_channels": 2, "out_channels": 3},
        in_channels=whole(),
        out_channels=whole(),
        kernel_size=Kind(lambda v: int(v) if is_whole(v) and v > 0 and v % 2 else REFUSED),
        resizing=choice("same", "up", "down"),
        gain=POSITIVE,
        use_bias=FLAG,
    ),
    "nets.doubled": of(nets.doubled, {"x": points(2, 2, 1)}, x=arrays("f", event=-1)),
    "nets.halved": of(nets.halved, {"x": points(2, 2, 1)}, x=arrays("f", event=-1)),
    "nets.smoothed": of(nets.smoothed, {"x": points(2, 2, 1)}, x=arrays("f", event=-1)),
    "nets.pixel_norm": of(
        nets.pixel_norm, {"x": points(2, 3)}, x=arrays("f", event=-1), epsilon=POSITIVE
    ),
    "nets.adain": of(
        nets.adain,
        {"x": points(2, 2, 4), "scale": points(4), "shift": points(4)},
        x=arrays("f", event=3),
        scale=arrays("f"),
        shift=arrays("f"),
        epsilon=POSITIVE,
    ),
    "nets.add_noise": of(
        nets.add_noise,
        {"x": points(2, 2, 4), "strength": points(4), "key": RAW_KEY},
        x=arrays("f", event=-1),
        strength=arrays("f"),
        key=optional(KEY),
    ),
    "nets.minibatch_deviation": of(
        nets.minibatch_deviation,
        {"x": points(3, 2, 2, 1)},
        x=arrays("f", event=-1),
        group_size=optional(whole(2)),
        epsilon=POSITIVE,
        axis_name=Kind(lambda v: None if v is None else EITHER if isinstance(v, str) else REFUSED),
        raises=(NameError,),  # of JAX, where there is no such axis
    ),
    "nets.mlp": of(
        nets.mlp,
        {"in_dims": 3, "out_dim": 2, **H},
        in_dims=or_one(sizes(0, fewest=1), 0),
        out_dim=whole(),
    ),
    "nets.irevnet": of(
        nets.irevnet,
        {"shape": TINY_IMAGE, "num_stages": 1, "num_layers": 1},
        num_stages=whole(),
        block=Kind(lambda v: None if v is None else EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "nets.revnet": of(
        nets.revnet, {"block": nets.mlp(2, 2, hidden=(3,)), "num_layers": 2}, block=noun(nets.mlp)
    ),
    "nets.strided_generator": of(
        nets.strided_generator,
        {"num_latents": 3, "shape": (8, 8, 1), "hidden": 2},
        **OF_A_PLAYER,
        num_latents=whole(),
        norm=choice("batch", "virtual", "none"),
        num_reference=whole(2),
    ),
    "nets.strided_critic": of(
        nets.strided_critic,
        {"shape": (8, 8, 1), "hidden": 2},
        **OF_A_PLAYER,
        norm=choice("batch", "layer", "spectral", "none"),
    ),
    "nets.strided_features": of(
        nets.strided_features,
        {"shape": (8, 8, 1), "num_features": 3, "hidden": 2},
        **OF_A_PLAYER,
        num_features=whole(),
        norm=choice("batch", "layer", "spectral", "none"),
    ),
    "nets.residual_generator": of(
        nets.residual_generator,
        {"num_latents": 4, "shape": (8, 8, 1), "hidden": 2},
        **OF_A_PLAYER,
        num_latents=whole(),
        widths=ANYTHING,
        attention=ANYTHING,
        spectral=FLAG,
        num_classes=optional(whole()),
        embedding=optional(whole()),
        hierarchical=FLAG,
        orthogonal=FLAG,
    ),
    "nets.residual_critic": of(
        nets.residual_critic,
        {"shape": (8, 8, 1), "hidden": 2},
        **OF_A_PLAYER,
        widths=ANYTHING,
        attention=ANYTHING,
        spectral=FLAG,
        num_classes=optional(whole()),
        orthogonal=FLAG,
    ),
    "nets.operator_norm": of(
        nets.operator_norm,
        {"kernel": points(3, 3, 2, 1), "size": (4, 4)},
        kernel=arrays("f")._replace(more=lambda good: {}),  # with any number of outputs
        size=ANYTHING,
    ),
    "nets.power_iteration": of(
        nets.power_iteration,
        {"matrix": points(3, 2), "u": points(2)},
        matrix=arrays("f"),
        u=arrays("f"),
        num_steps=whole(0),
        told={"matrix": "matrix|u"},
    ),
    "nets.virtual_batch_norm": of(
        nets.virtual_batch_norm,
        {"x": points(4, 3), "scale": points(3), "bias": points(3), "num_reference": 2},
        x=arrays("f", event=2),
        scale=arrays("f"),
        bias=arrays("f"),
        num_reference=whole(most=4),
        epsilon=POSITIVE,
        told={"x": "x|scale"},
    ),
    # ------------------------------------------------------------------------------ gans
    "gans.dcgan": of(
        gans.dcgan,
        {"shape": (8, 8, 1), "num_latents": 3, "hidden": 2},
        **OF_A_PLAYER,
        num_latents=whole(),
        generator_norm=choice("batch", "virtual", "none"),
        critic_norm=choice("batch", "layer", "spectral", "none"),
        num_reference=whole(2),
        told={"generator_norm": "norm", "critic_norm": "norm"},
    ),
    "gans.sngan": of(
        gans.sngan,
        {"shape": (8, 8, 1), "num_latents": 3, "hidden": 2},
        **OF_A_PLAYER,
        num_latents=whole(),
        generator_widths=ANYTHING,
        critic_widths=ANYTHING,
        num_classes=optional(whole()),
    ),
    "gans.sagan": of(
        gans.sagan,
        {"shape": (8, 8, 1), "num_latents": 3, "hidden": 2},
        **OF_A_PLAYER,
        num_latents=whole(),
        attention=ANYTHING,
        num_classes=optional(whole()),
    ),
    "gans.biggan": of(
        gans.biggan,
        {"shape": (8, 8, 1), "num_classes": 3, "hidden": 2},
        **OF_A_PLAYER,
        num_classes=whole(),
        num_latents=ANYTHING,
        embedding=whole(),
        attention=ANYTHING,
    ),
    "gans.orthogonal_penalty": of(
        gans.orthogonal_penalty, {"params": {"kernel": points(3, 2)}}, params=ANYTHING
    ),
    "gans.truncated": of(
        gans.truncated,
        {"model": GAN, "truncation": 0.5},
        model=noun(combinators.adversarial),
        truncation=ANYTHING,
    ),
    "gans.standing_statistics": of(
        gans.standing_statistics,
        {"model": GAN, "params": GAN_PARAMS, "state": GAN_STATE, "key": RAW_KEY, "num": 128},
        model=noun(combinators.adversarial),
        state=noun(),
        num=ANYTHING,
        batch_size=ANYTHING,
        told={"state": "params|state"},
    ),
    # ------------------------------------------------------------------------- diffusion
    **{
        f"diffusion.{name}": of(
            getattr(diffusion, name), {"most": 5.0, "least": least}, most=kind, least=kind
        )
        for name, least, kind in (
            ("linear_log_snr", -5.0, ABOVE_LEAST),
            ("linear_beta", 0.1, OF_RATES),
            ("sub_vp", 0.1, OF_RATES),
            ("variance_exploding", 0.1, OF_RATES),
        )
    },
    "diffusion.learned_log_snr": of(
        diffusion.learned_log_snr, most=ABOVE_LEAST, least=ABOVE_LEAST, hidden=whole()
    ),
    "diffusion.from_log_snr": of(
        diffusion.from_log_snr, {"log_snr": jnp.negative}, log_snr=FUNCTION
    ),
    "diffusion.cosine": of(diffusion.cosine, offset=POSITIVE),
    "diffusion.straight": of(diffusion.straight),
    "diffusion.from_betas": of(
        diffusion.from_betas,
        {"betas": np.linspace(0.1, 0.9, 9)},
        betas=Kind(lambda v: REFUSED),
    ),
    "diffusion.denoiser": of(
        diffusion.denoiser,
        {
            "net": nets.time_mlp(3, hidden=(3,), num_waves=2),
            "shape": (3,),
            "process": diffusion.cosine(),
        },
        net=noun(nets.time_mlp),
        shape=or_one(SHAPE),
        process=noun(diffusion.cosine),
        target=OF_TARGETS,
        learned_variance=FLAG,
    ),
    "diffusion.score": of(
        traced(diffusion.score),
        {"model": DENOISER, "params": drawn(DENOISER), "x": X, "t": np.full(5, 0.5, np.float32)},
        model=noun(diffusion.denoiser),
        x=arrays("f", event=1, nan=EITHER),
        t=arrays("fib", event=0, numbers=True, nan=EITHER),
    ),
    "diffusion.noised": of(
        diffusion.noised,
        {"key": RAW_KEY, "process": diffusion.cosine(), "x": X, "t": np.full(5, 0.5, np.float32)},
        process=noun(diffusion.cosine),
        x=arrays("f", event=0),
        t=arrays("fib", event=0, numbers=True, nan=EITHER),
    ),
    "diffusion.scaled": of(
        diffusion.scaled,
        {"levels": BITS, "num_levels": 3},
        levels=arrays("i", event=0),
    ),
    "diffusion.simple_loss": of(
        traced(diffusion.simple_loss),
        DENOISED,
        model=noun(diffusion.denoiser),
        x=arrays("f", event=1, nan=EITHER),
        target=optional(OF_TARGETS),
        parts_key=optional(KEY),
    ),
    **{
        f"diffusion.{name}": of(
            traced(getattr(diffusion, name)),
            good,
            model=noun(diffusion.denoiser),
            num_levels=optional(Kind(lambda v: REFUSED)),
            x=arrays("f", event=1, nan=EITHER),
            parts_key=optional(KEY),
            **more,
            told={"num_levels": "num_levels|levels"},
            raises=(TypeError, ValueError),
        )
        for name, good, more in (
            ("continuous_bound", DENOISED, {}),
            ("bound_loss", DENOISED, {}),
            (
                "chain_bound",
                DENOISED | {"num_steps": 3},
                {
                    "num_steps": whole(2, 1000),
                    "kind": OF_VARIANCES,
                    "every": FLAG,
                },
            ),
            (
                "hybrid_loss",
                DENOISED
                | {"model": WITH_VARIANCES, "params": drawn(WITH_VARIANCES), "num_steps": 3},
                {"num_steps": whole(2, 1000), "weight": NOT_NEGATIVE},
            ),
        )
    },
    "diffusion.importance_bound": of(
        diffusion.importance_bound,
        {"model": DENOISER},
        model=noun(diffusion.denoiser),
        num_steps=optional(whole(3, 1000)),
        num_bins=whole(2, 1000),
        num_levels=optional(whole(2, 1000)),
        kind=Kind(
            lambda v: (
                EITHER
                if callable(v) or isinstance(v, str) and v in ("posterior", "upper", "learned")
                else REFUSED
            )
        ),
        decay=SHARE,
    ),
    **{
        f"diffusion.{name}": of(
            traced(getattr(diffusion, name)),
            {"model": DENOISER, "params": drawn(DENOISER), "key": RAW_KEY, "num": 2}
            | {"num_steps": 3},
            model=noun(diffusion.denoiser),
            num=whole(most=1000),
            num_steps=whole(2, 1000),
            clip=optional(POSITIVE),
            raises=(TypeError, ValueError),
            **more,
        )
        for name, more in (
            (
                "sample",
                {
                    "eta": Kind(
                        lambda v: (
                            EITHER
                            if SHARE.canonical(v) is not REFUSED or is_whole(v) and v == 1
                            else REFUSED
                        )
                    ),
                    "kind": OF_VARIANCES,
                },
            ),
            ("heun", {}),
            ("dpm_solver", {}),
        )
    },
    "diffusion.reverse_sde": of(
        traced(diffusion.reverse_sde),
        {"model": DENOISER, "params": drawn(DENOISER), "key": RAW_KEY, "num": 2, "num_steps": 3},
        model=noun(diffusion.denoiser),
        num=whole(most=1000),
        num_steps=whole(most=1000),
    ),
    "diffusion.classifier_guided": of(
        diffusion.classifier_guided,
        {"model": DENOISER, "log_prob": lambda x, t, y: x.sum(-1), "scale": 1.0},
        model=noun(diffusion.denoiser),
        log_prob=FUNCTION,
        scale=NUMBER,
    ),
    "diffusion.class_log_prob": of(
        traced(diffusion.class_log_prob),
        {"net": NOISY_NET, "params": drawn(NOISY_NET), "process": diffusion.cosine()},
        net=noun(nets.time_mlp),
        process=noun(diffusion.cosine),
    ),
    "diffusion.classifier_loss": of(
        traced(diffusion.classifier_loss),
        {"net": NOISY_NET, "params": drawn(NOISY_NET), "key": RAW_KEY}
        | {"process": diffusion.cosine(), "x": X, "y": np.arange(5) % 2},
        net=noun(nets.time_mlp),
        process=noun(diffusion.cosine),
        x=arrays("f", event=1, nan=EITHER),
        y=arrays("i", event=-1),
        raises=(TypeError, ValueError),
    ),
    "diffusion.classifier_free": of(
        diffusion.classifier_free,
        {"model": TOLD, "scale": 1.0, "nothing": np.zeros(2, np.float32)},
        model=noun(diffusion.denoiser),
        scale=NUMBER,
        nothing=arrays("fib", event=1, nan=EITHER),
    ),
    "diffusion.dropped": of(
        diffusion.dropped,
        {"key": RAW_KEY, "cond": X, "nothing": np.zeros(3, np.float32)},
        cond=arrays("fib", event=-1, nan=EITHER),
        nothing=arrays("fib", event=-1, nan=EITHER),
        share=SHARE,
    ),
    "diffusion.ode_density": of(
        diffusion.ode_density,
        {"model": DENOISER},
        model=noun(diffusion.denoiser),
        solver=optional(noun(bijectors.ode_solver)),
    ),
    **{
        f"diffusion.{name}": of(
            traced(getattr(diffusion, name)),
            {"key": RAW_KEY, "x": X, "step_size": 0.1, "num_steps": 2} | good,
            x=arrays("f", event=-1, nan=EITHER)._replace(more=lambda good: {}),
            step_size=POSITIVE,
            raises=(TypeError, ValueError),
            **more,
        )
        for name, good, more in (
            ("unadjusted_langevin", {"score": jnp.negative}, {"score": OWN_FUNCTION}),
            (
                "metropolis_langevin",
                {"log_prob": lambda x: -(x**2).sum(-1)},
                {"log_prob": OWN_FUNCTION},
            ),
            (
                "annealed_langevin",
                {"score": lambda x, s: -x / s**2, "sigmas": (2.0, 1.0)},
                {
                    "score": OWN_FUNCTION,
                    "sigmas": Kind(
                        lambda v: (
                            EITHER
                            if isinstance(v, (np.ndarray, jax.Array, float, int))
                            else REFUSED
                        )
                    ),
                    "denoise": FLAG,
                },
            ),
        )
    },
    # ------------------------------------------------------------------------- quantized
    "quantized.nearest": of(
        quantized.nearest,
        {"codebook": CODEBOOK, "features": X},
        codebook=arrays("f", nan=EITHER),
        features=arrays("f", event=1, nan=EITHER),
    ),
    "quantized.quantise": of(
        quantized.quantise,
        {"codebook": CODEBOOK, "features": X},
        codebook=arrays("f"),
        features=arrays("f", event=1),
    ),
    "quantized.look_up": of(
        quantized.look_up,
        {"codebook": CODEBOOK, "codes": CODES},
        codebook=arrays("f", event=0, nan=EITHER),
        codes=arrays("i", event=0),
    ),
    "quantized.counts": of(
        quantized.counts,
        {"codes": CODES, "num_codes": 4},
        codes=arrays("i", event=0),
        num_codes=whole(),
    ),
    "quantized.perplexity": of(
        quantized.perplexity, {"counts": np.array([1, 2])}, counts=arrays("fib", event=-1)
    ),
    "quantized.k_means": of(
        quantized.k_means,
        {"key": RAW_KEY, "features": X, "num_codes": 2},
        features=arrays("f", event=-1),
        num_codes=whole(),
        num_steps=whole(0),
    ),
    "quantized.gradient_codebook": of(
        quantized.gradient_codebook, {"num_codes": 4, "dim": 3}, num_codes=whole(2)
    ),
    "quantized.averaged_codebook": of(
        quantized.averaged_codebook,
        {"num_codes": 4, "dim": 3},
        num_codes=whole(2),
        decay=SHARE,
        smoothing=NOT_NEGATIVE,
        revive=SHARE,
    ),
    "quantized.vqvae": of(
        quantized.vqvae,
        {
            "encoder": MAP_NETS[0],
            "decoder": MAP_NETS[1],
            "likelihood": CONDITIONAL,
            "shape": TINY_IMAGE,
            "quantiser": CODED_BY,
        },
        encoder=noun(nets.mlp),
        decoder=noun(nets.mlp),
        likelihood=noun(likelihoods.bernoulli),
        shape=Kind(lambda v: EITHER if or_one(SHAPE).canonical(v) is not REFUSED else REFUSED),
        quantiser=noun(quantized.gradient_codebook),
    ),
    "quantized.vqvae2": of(
        quantized.vqvae2,
        {
            "shape": TINY_IMAGE,
            "likelihood": CONDITIONAL,
            "quantisers": (CODED_BY, CODED_BY),
            "halvings": (1, 1),
            "hidden": 2,
        },
        likelihood=noun(likelihoods.bernoulli),
        quantisers=Kind(lambda v: REFUSED),
        halvings=Kind(
            lambda v: EITHER if sizes(fewest=2, most=2).canonical(v) != REFUSED else REFUSED
        ),
        **ONE_WIDTH,
    ),
    "quantized.level_prior": of(
        quantized.level_prior,
        {"coder": LEVELS_OF_CODES, "priors": PRIORS_OF_CODES, "hidden": 2},
        coder=Kind(lambda v: REFUSED),
        priors=Kind(lambda v: REFUSED),
        embedding=whole(),
        **ONE_WIDTH,
    ),
    "quantized.vqvae_loss": of(
        traced(quantized.vqvae_loss),
        {"coder": VQVAE, "params": VQVAE_PARAMS, "key": RAW_KEY, "x": PIXELS_OF_CODES, "state": {}},
        coder=Kind(lambda v: REFUSED),
        x=Kind(lambda v: EITHER if hasattr(v, "dtype") else REFUSED),
        state=ANYTHING,
        beta=WEIGHT,
        told={"params": "params", "state": "params"},
    ),
    "quantized.with_prior": of(
        quantized.with_prior,
        {"coder": VQVAE},
        coder=Kind(lambda v: REFUSED),
        prior=optional(noun(distributions.standard_normal)),
    ),
    "quantized.uniform": of(
        quantized.uniform,
        {"code_shape": (2,), "num_codes": 3},
        code_shape=or_one(SHAPE),
        num_codes=whole(2),
    ),
    "quantized.quantised_critic": of(
        quantized.quantised_critic,
        {
            "trunk": nets.mlp(3, 3, **H),
            "quantiser": CODED_BY,
            "head": value_of(nets.mlp(3, 1, **H)),
        },
        trunk=noun(nets.mlp),
        quantiser=optional(noun(quantized.gradient_codebook)),
        head=noun(nets.mlp),
        beta=NOT_NEGATIVE,
    ),
    "quantized.fq_critic_loss": of(
        traced(quantized.fq_critic_loss),
        QUANTISED_GAME,
        model=noun(combinators.adversarial),
        game=noun(objectives.hinge),
        x=arrays("f", event=1, nan=EITHER),
        state=noun(),
        weight=WEIGHT,
        told={"params": "params|critic"},
    ),
    "quantized.finite_scalar": of(quantized.finite_scalar, levels=sizes(fewest=1)),
    "quantized.residual": of(
        quantized.residual,
        {"quantiser": CODED_BY, "num_stages": 2},
        quantiser=noun(quantized.gradient_codebook),
        num_stages=whole(),
    ),
    "quantized.grouped": of(
        quantized.grouped,
        {"quantiser": CODED_BY, "num_groups": 2},
        quantiser=noun(quantized.gradient_codebook),
        num_groups=whole(),
    ),
    # ------------------------------------------------------------------------------ data
    "data.batches": of(
        lambda data, batch_size, seed: first_batch(data, batch_size, seed=seed)(0),
        {"data": np.asarray(X), "batch_size": 2, "seed": 0},
        data=Kind(lambda v: EITHER),
        batch_size=whole(),
    ),
    "data.dequantize": of(
        data.dequantize, {"key": RAW_KEY, "x": BITS}, x=arrays("i", event=0, numbers=True)
    ),
    "data.logit_map": of(
        data.logit_map,
        {"num_levels": 256},
        alpha=INSIDE,
        event_ndims=whole(0),
    ),
    "data.mu_law_decode": of(
        data.mu_law_decode, {"levels": BITS}, levels=arrays("i", event=0, numbers=True)
    ),
    "data.mu_law_encode": of(
        data.mu_law_encode, {"x": np.asarray(X)}, x=arrays("f", event=0, numbers=True)
    ),
    "data.quantize": of(
        data.quantize,
        {"x": np.abs(X), "num_levels": 8},
        x=arrays("fib", event=0, numbers=True),
    ),
    "data.standardize": of(
        data.standardize,
        {"mean": np.zeros(3, np.float32), "std": np.ones(3, np.float32)},
        mean=arrays("fib", event=0, lists=True),
        std=arrays("fib", event=0, lists=True),
        event_ndims=whole(0),
    ),
    "data.load": of(
        data.load,
        {"name": "digits"},
        name=choice("digits"),
        data_dir=optional(PATH),
        raises=(FileNotFoundError,),
    ),
    "data.load_factored": of(
        data.load_factored,
        {"name": "shapes"},
        name=choice("shapes"),
        data_dir=optional(PATH),
        raises=(FileNotFoundError,),
    )._replace(costly=True),
    "data.load_file": of(
        data.load_file, {"path": "table.csv"}, path=PATH, raises=(FileNotFoundError,)
    ),
    "data.subset": of(
        data.subset,
        {"x": np.asarray(X), "num": 2},
        x=arrays("fib", event=0, lists=True, nan=EITHER),
        num=whole(),
    ),
    "data.checkerboard": of(data.checkerboard),
    "data.gaussians": of(data.gaussians, num=whole(), radius=POSITIVE, scale=POSITIVE),
    "data.moons": of(data.moons),
    "data.pinwheel": of(data.pinwheel),
    "data.rings": of(data.rings),
    "data.spirals": of(data.spirals),
    # ----------------------------------------------------------------------- combinators
    "combinators.compose": of(
        lambda flow: combinators.compose(FLOW, flow), {"flow": FLOW}, flow=noun(flows.maf)
    ),
    "combinators.repeat": of(
        combinators.repeat, {"flow": FLOW, "num_layers": 2}, flow=noun(flows.maf)
    ),
    "combinators.invert": of(combinators.invert, {"flow": FLOW}, flow=noun(flows.maf)),
    "combinators.factor_out": of(
        combinators.factor_out, {"rest": FLOW, "shape": (2, 2, 2)}, rest=noun(flows.maf)
    ),
    "combinators.fixed": of(
        combinators.fixed, {"bijector": distrax.Tanh()}, bijector=noun(bijectors.affine)
    ),
    "combinators.pushforward": of(
        combinators.pushforward,
        {"flow": FLOW, "base": BASE},
        flow=noun(flows.maf),
        base=noun(distributions.standard_normal),
    ),
    "combinators.preprocessed": of(
        combinators.preprocessed,
        {"model": MODEL, "preprocessing": data.standardize(0.0, 1.0)},
        preprocessing=noun(data.standardize),
    ),
    "combinators.quantized": of(
        combinators.quantized,
        {"model": MODEL, "num_levels": 2},
        noise=optional(noun(distributions.uniform_noise)),
    ),
    "combinators.conditional": of(
        combinators.conditional,
        {"net": NET, "to_dist": diagonal, "cond_shape": (2,)},
        net=noun(nets.mlp),
        to_dist=FUNCTION,
        cond_shape=Kind(lambda v: REFUSED if v is None else COND_SHAPE.canonical(v)),
    ),
    "combinators.encoded": of(
        combinators.encoded,
        {"net": NET, "density": combinators.pushforward(ENCODED, BASE), "cond_shape": (2,)},
        net=noun(nets.mlp),
        density=noun(combinators.pushforward),
        cond_shape=Kind(lambda v: REFUSED if v is None else COND_SHAPE.canonical(v)),
    ),
    "combinators.latent_variable": of(
        combinators.latent_variable,
        {"prior": distributions.standard_normal(2), "likelihood": DECODER, "posterior": DECODER},
        prior=noun(distributions.standard_normal),
        likelihood=noun(combinators.conditional),
        posterior=noun(combinators.conditional),
    ),
    "combinators.adversarial": of(
        combinators.adversarial,
        {"prior": distributions.standard_normal(2), "generator": NET, "critic": NET},
        prior=noun(distributions.standard_normal),
        generator=noun(nets.mlp),
        critic=noun(nets.mlp),
        cond_shape=Kind(
            lambda v: () if isinstance(v, tuple) and not v else COND_SHAPE.canonical(v)
        ),
    ),
    "combinators.adapt": of(
        combinators.adapt, {"model": ACTNORM, "params": drawn(ACTNORM), "x": X}
    ),
    # ----------------------------------------------------------------------- likelihoods
    "likelihoods.as_numbers": of(
        likelihoods.as_numbers,
        {"x": BITS, "shape": (3,), "likelihood": CONDITIONAL, "dtype": np.float32},
        x=Kind(lambda v: EITHER),
        shape=Kind(lambda v: EITHER),
        likelihood=noun(likelihoods.bernoulli),
        dtype=Kind(lambda v: EITHER),
    ),
    "likelihoods.bernoulli": of(likelihoods.bernoulli),
    "likelihoods.categorical": of(likelihoods.categorical, {"num_levels": 3}),
    "likelihoods.logit_laplace": of(
        likelihoods.logit_laplace, {"num_levels": 3}, num_levels=optional(whole(2))
    ),
    "likelihoods.discretized_logistic": of(
        likelihoods.discretized_logistic, {"num_levels": 3}, channels=whole(1)
    ),
    "likelihoods.gaussian": of(likelihoods.gaussian),
    "likelihoods.mixture": of(likelihoods.mixture, kind=choice("gaussian", "logistic")),
    "likelihoods.factorised": of(
        likelihoods.factorised,
        {"net": NET, "conditional": CONDITIONAL, "shape": (2, 2)},
        net=noun(nets.mlp),
        shape=or_one(SHAPE),
    ),
    # ------------------------------------------------------------------------------- gans
    "gans.avb": of(
        gans.avb,
        {
            "inference": INFERENCE,
            "decoder": nets.mlp(2, 2, hidden=(3,)),
            "likelihood": likelihoods.bernoulli(),
            "shape": 2,
            "num_latents": 2,
            "num_noise": 3,
        },
        inference=noun(nets.mlp),
        decoder=noun(nets.mlp),
        likelihood=noun(likelihoods.bernoulli),
        shape=or_one(SHAPE),
        num_latents=whole(),
        num_noise=whole(),
        prior=optional(noun(distributions.standard_normal)),
        told={"shape": "(shape|x)", "num_latents": "(num_latents|decoder)"},
    ),
    "gans.implicit_net": of(
        gans.implicit_net,
        {"in_dim": 2, "num_latents": 2, "num_noise": 3, "num_basis": 2, "hidden": (3,)},
        in_dim=whole(),
        num_latents=whole(),
        num_noise=whole(),
        num_basis=whole(),
        hidden=WIDTHS,
        noise_hidden=WIDTHS,
    ),
    **{
        f"gans.{name}": of(
            traced(getattr(gans, name)),
            {
                "model": AVB,
                "critic": AVB_CRITIC,
                "params": {"model": drawn(AVB), "critic": drawn(AVB_CRITIC)},
                "key": RAW_KEY,
                "x": BITS[:, :2],
            },
            model=noun(combinators.latent_variable),
            critic=noun(nets.mlp),
            x=arrays("fib", event=1, nan=EITHER),
            num_moments=Kind(
                lambda v: REFUSED if is_whole(v) and 1 <= v <= 2 else whole(0).canonical(v)
            ),
        )
        for name in ("avb_loss", "avb_critic_loss")
    },
    "gans.gaussian_proposal": of(
        gans.gaussian_proposal,
        {"model": AVB, "num_moments": 2},
        model=noun(combinators.latent_variable),
        num_moments=whole(2),
        widen=POSITIVE,
    ),
    # ---------------------------------------------------------------------- disentangled
    **{
        f"disentangled.{name}": of(
            traced(getattr(disentangled, name)),
            OF_CODES | more,
            model=noun(combinators.latent_variable),
            x=arrays("fib", event=1, nan=EITHER),
            num_data=whole(2),
            parts_key=optional(KEY),
            **kinds,
        )
        for name, more, kinds in (
            ("beta_vae_loss", {"beta": 4.0}, {"beta": WEIGHT}),
            ("capacity_loss", {"capacity": 2.0}, {"capacity": WEIGHT, "gamma": WEIGHT}),
            (
                "tc_vae_loss",
                {"beta": 4.0},
                {"alpha": WEIGHT, "beta": WEIGHT, "gamma": WEIGHT, "estimate": OF_AGGREGATE},
            ),
            (
                "dip_vae_loss",
                {"kind": "I", "off_diagonal": 2.0},
                {
                    "kind": choice("II", "I"),
                    "off_diagonal": WEIGHT,
                    "diagonal": optional(WEIGHT),
                },
            ),
        )
    },
    "disentangled.factor_vae_loss": of(
        traced(disentangled.factor_vae_loss),
        PLAYED_CODES | {"gamma": 3.0},
        model=noun(combinators.latent_variable),
        critic=noun(nets.mlp),
        x=arrays("fib", event=1, nan=EITHER),
        gamma=WEIGHT,
        num_data=whole(2),
    ),
    "disentangled.factor_critic_loss": of(
        traced(disentangled.factor_critic_loss),
        {name: value for name, value in PLAYED_CODES.items() if name != "num_data"},
        model=noun(combinators.latent_variable),
        critic=noun(nets.mlp),
        x=arrays("fib", event=1, nan=EITHER),
        other=optional(arrays("fib", event=1, nan=EITHER)),
        told={"x": "(x|batch|other)", "other": "(x|other)"},
    ),
    "disentangled.dip_penalty": of(
        disentangled.dip_penalty,
        {"mean": points(4, 2), "scale": jnp.ones((4, 2))},
        mean=arrays("f"),
        scale=optional(arrays("f")),
        told={"mean": "(mean|scale)"},
    ),
    "disentangled.infogan": of(
        disentangled.infogan,
        {
            "generator": nets.mlp(6, 3, hidden=(3,)),
            "trunk": nets.mlp(3, 4, hidden=(3,)),
            "num_features": 4,
            "num_noise": 2,
            "categories": (3,),
            "num_continuous": 1,
            "hidden": (3,),
        },
        generator=noun(nets.mlp),
        trunk=noun(nets.mlp),
        num_features=whole(),
        num_noise=whole(0),
        categories=sizes(least=2),
        num_continuous=whole(0),
        hidden=WIDTHS,
    ),
    **{
        f"disentangled.{name}": of(
            traced(getattr(disentangled, name)),
            PLAYED | {"model": INFOGAN, "params": INFOGAN_PARAMS, "state": INFOGAN_STATE},
            model=noun(combinators.adversarial),
            game=noun(objectives.hinge),
            x=arrays("fib", event=1, nan=EITHER),
            state=noun(),
            weight=WEIGHT,
            continuous_weight=WEIGHT,
        )
        for name in ("infogan_critic_loss", "infogan_generator_loss")
    },
    "disentangled.infer_codes": of(
        disentangled.infer_codes,
        {"model": INFOGAN, "params": INFOGAN_PARAMS, "state": INFOGAN_STATE, "x": X},
        model=noun(combinators.adversarial),
        state=noun(),
        x=arrays("fib"),
        told={"x": "(x|inputs)"},
    ),
    "disentangled.code_prior": of(
        disentangled.code_prior, {"codes": INFOGAN.codes}, codes=noun(disentangled.Codes)
    ),
    "disentangled.recognised": of(
        disentangled.recognised,
        {"codes": INFOGAN.codes, "outputs": points(4, 5)},
        codes=noun(disentangled.Codes),
        outputs=arrays("f"),
    ),
    "disentangled.information": of(
        disentangled.information,
        {
            "codes": INFOGAN.codes,
            "q": disentangled.recognised(INFOGAN.codes, points(4, 5)),
            "z": points(4, 6),
        },
        codes=noun(disentangled.Codes),
        q=noun(),
        z=arrays("f"),
    ),
    "disentangled.entangling": of(
        disentangled.entangling,
        {"matrix": bijectors.householder(points(2, 3))},
        matrix=arrays("f"),
        to_logistic=optional(noun()),
    ),
    "disentangled.entangled": of(
        disentangled.entangled,
        {"model": VAE, "bijector": bijectors.Orthogonal(bijectors.householder(points(2, 2)))},
        model=noun(vae.vae),
        bijector=noun(bijectors.Orthogonal),
    ),
    "disentangled.permuted": of(
        disentangled.permuted, {"key": RAW_KEY, "z": points(4, 2)}, z=arrays("f", event=0)
    ),
    # ------------------------------------------------------------------------- quantized
    "quantized.categorical_vae": of(
        quantized.categorical_vae,
        {
            "encoder": CODER[0],
            "decoder": CODER[1],
            "likelihood": CONDITIONAL,
            "shape": 3,
            **CATEGORIES,
        },
        encoder=noun(nets.mlp),
        decoder=noun(nets.mlp),
        likelihood=noun(likelihoods.bernoulli),
        shape=or_one(SHAPE),
        prior=optional(noun(quantized.uniform_codes)),
        told={"codes": "(codes|encoder)", "num_categories": "(num_categories|encoder)"},
        **{name: Kind(lambda v: EITHER) for name in NAMED_CODES},
    ),
    **{
        f"quantized.{name}": of(getattr(quantized, name), CATEGORIES, **NAMED_CODES)
        for name in ("uniform_codes", "learned_codes")
    },
    "quantized.all_codes": of(
        quantized.all_codes,
        CATEGORIES,
        codes=Kind(lambda v: EITHER if or_one(SHAPE).canonical(v) is not REFUSED else REFUSED),
        num_categories=Kind(lambda v: EITHER if whole(2).canonical(v) is not REFUSED else REFUSED),
    ),
    "quantized.relaxed": of(
        quantized.relaxed,
        {"model": CATEGORICAL_VAE, "temperature": 0.5},
        model=noun(combinators.latent_variable),
        temperature=TEMPERATURE,
    ),
    **{
        f"quantized.{name}": of(
            traced(getattr(quantized, name)),
            OF_CATEGORIES | more,
            **{what: OF_A_LOSS[what] for what in ("model", "x", "beta", "parts_key", *kinds)},
            **({"num_samples": whole(2)} if name == "leave_one_out_loss" else {}),
        )
        for name, more, kinds in (
            ("score_function_loss", {}, ("baseline",)),
            ("leave_one_out_loss", {}, ()),
            ("muprop_loss", {}, ("baseline",)),
            ("straight_through_loss", {}, ("temperature",)),
            ("relaxed_loss", {"temperature": 0.5}, ("temperature", "hard")),
        )
    },
    "quantized.dvae": of(
        quantized.dvae,
        {
            "shape": TINY_IMAGE,
            "likelihood": CATEGORICAL,
            "num_categories": 3,
            "hidden": (2,),
            "num_blocks": 0,
        },
        likelihood=noun(likelihoods.bernoulli),
        num_categories=Kind(lambda v: EITHER if whole(2).canonical(v) is not REFUSED else REFUSED),
        hidden=sizes(fewest=1),
        kernel_size=whole(2),
        num_groups=optional(whole()),
        told={"num_groups": "(num_groups|hidden)"},
    ),
    "quantized.as_integers": of(quantized.as_integers, {"z": points(4, 3)}, z=arrays("f", event=0)),
    "quantized.sequences": of(
        quantized.sequences,
        {"text": CODES, "codes": CODES, "num_symbols": 2},
        text=arrays("i", event=0),
        codes=arrays("i", event=0),
        num_symbols=whole(),
    ),
    "quantized.captioned": of(
        quantized.captioned,
        {"model": CATEGORICAL_VAE, "sequence": MADE_BITS, "length": 1, "num_symbols": 2},
        model=noun(combinators.latent_variable),
        sequence=noun(flows.maf),
        length=whole(),
        num_symbols=whole(),
    ),
    "quantized.running_mean_loss": of(
        quantized.running_mean_loss,
        {"model": CATEGORICAL_VAE},
        model=noun(combinators.latent_variable),
        decay=SHARE,
    ),
    "quantized.linear_baseline_loss": of(
        quantized.linear_baseline_loss,
        {"model": CATEGORICAL_VAE, "shape": 2},
        model=noun(combinators.latent_variable),
        shape=or_one(SHAPE),
        muprop=FLAG,
        decay=SHARE,
        rate=POSITIVE,
    ),
    "quantized.temperature_schedule": of(
        quantized.temperature_schedule,
        {"rate": 1e-3},
        rate=NOT_NEGATIVE,
        least=POSITIVE,
        every=whole(),
    ),
    **{
        f"quantized.{name}": of(
            getattr(quantized, name),
            {what: value for what, value in OF_CATEGORIES.items() if what != "key"},
            model=noun(combinators.latent_variable),
            x=arrays("fib", event=1, nan=EITHER),
        )
        for name in ("enumerated_elbo", "enumerated_log_prob")
    },
    # ------------------------------------------------------------------------------- vae
    "vae.vae": of(
        vae.vae,
        {
            "encoder": NET,
            "decoder": nets.mlp(2, 2, hidden=(3,)),
            "likelihood": CONDITIONAL,
            "shape": (2,),
            "num_latents": 2,
        },
        told={"shape": "encoder|decoder|shape", "num_latents": "decoder|num_latents"},
        encoder=noun(nets.mlp),
        decoder=noun(nets.mlp),
        likelihood=noun(likelihoods.bernoulli),
        shape=or_one(SHAPE),
        num_latents=whole(),
        prior=optional(noun(distributions.standard_normal)),
        posterior=optional(noun(vae.diagonal)),
    ),
    "vae.diagonal": of(vae.diagonal, {"num_latents": 2}, num_latents=whole()),
    "vae.full_rank": of(vae.full_rank, {"num_latents": 2}, num_latents=whole(1, 1000)),
    "vae.flow_posterior": of(
        vae.flow_posterior,
        {"flow": FLOW, "base": vae.diagonal(3)},
        flow=noun(flows.maf),
        base=noun(vae.diagonal),
    ),
    "vae.hierarchy": of(
        vae.hierarchy,
        {
            "posteriors": (DECODER,),
            "priors": (distributions.standard_normal(2),),
            "likelihood": DECODER,
        },
        posteriors=noun(combinators.conditional),
        priors=noun(distributions.standard_normal),
        likelihood=noun(combinators.conditional),
    ),
    "vae.stochastic_layers": of(
        vae.stochastic_layers,
        {"shape": 2, "likelihood": CONDITIONAL, "num_latents": (2,), "hidden": ((3,),)},
        shape=or_one(SHAPE),
        likelihood=noun(likelihoods.bernoulli),
        num_latents=sizes(fewest=1, most=1),
        hidden=HIDDEN_OF_EACH,
    ),
    "vae.ladder": of(
        vae.ladder,
        {"shape": 2, "likelihood": CONDITIONAL, "num_latents": (2,), "hidden": (3,)},
        shape=or_one(SHAPE),
        likelihood=noun(likelihoods.bernoulli),
        num_latents=sizes(fewest=1, most=1),
        hidden=sizes(fewest=1, most=1),
        num_blocks=whole(0),
        posterior=choice("free", "precision_weighted"),
    ),
    "vae.image_ladder": of(
        vae.image_ladder,
        {
            "shape": (2, 2, 1),
            "likelihood": CONDITIONAL,
            "resolutions": (2,),
            "num_layers": (1,),
            "width": 2,
            "num_latents": 1,
        },
        told={"shape": "shape|resolutions"},
        likelihood=noun(likelihoods.bernoulli),
        resolutions=Kind(
            lambda v: EITHER if sizes(fewest=1).canonical(v) is not REFUSED else REFUSED
        ),
        num_layers=sizes(fewest=1, most=1),
        num_blocks=optional(sizes(fewest=1, most=1)),
        width=whole(),
        hidden=optional(whole()),
        num_latents=whole(),
    ),
    "vae.mixture_prior": of(
        vae.mixture_prior, {"num_latents": 2, "num_components": 3}, num_latents=whole()
    ),
    "vae.shared_scale": of(
        vae.shared_scale,
        {"net": NET},
        net=noun(nets.mlp),
        scale=real(lambda v: 0.05 < v < 20),
    ),
    "vae.vamp": of(
        vae.vamp,
        {
            "model": VAE,
            "shape": (2,),
            "num_pseudo_inputs": 2,
            "low": 0.0,
            "high": 1.0,
            "start": np.eye(2),
        },
        model=noun(vae.vae),
        shape=or_one(SHAPE),
        num_pseudo_inputs=whole(),
        low=NUMBER,
        high=NUMBER,
        start=optional(arrays("fib", lists=True)),
    ),
    "vae.pixelvae": of(
        vae.pixelvae,
        {
            "encoder": IMAGE_ENCODER,
            "decoder": nets.mlp(2, 4, hidden=(3,)),
            "causal": PIXELS,
            "likelihood": CONDITIONAL,
            "shape": (2, 2, 1),
            "num_latents": 2,
        },
        told={
            "shape": "encoder|causal|shape",
            "num_latents": "decoder|num_latents",
            "cond_shape": "encoder|decoder|cond_shape",
        },
        **OF_PIXELS,
    ),
    "vae.vlae": of(
        vae.vlae,
        {
            "encoder": IMAGE_ENCODER,
            "decoder": nets.mlp(2, 4, hidden=(3,)),
            "local": PIXELS,
            "likelihood": CONDITIONAL,
            "shape": (2, 2, 1),
            "num_latents": 2,
            "flow": flows.maf(2, hidden=(3,), num_layers=1),
        },
        told={
            "shape": "encoder|local|causal|shape",
            "num_latents": "decoder|num_latents",
            "cond_shape": "encoder|decoder|cond_shape",
        },
        flow=noun(flows.maf),
        flow_in=choice("prior", "posterior"),
        **{k: v for k, v in OF_PIXELS.items() if k not in ("causal", "prior")},
        local=OF_PIXELS["causal"],
    ),
    "vae.window_of": of(
        vae.window_of,
        {
            "local": PIXELS,
            "params": drawn(PIXELS),
            "key": RAW_KEY,
            "shape": (2, 2, 1),
            "num_levels": 2,
            "cond": points(2, 2, 1),
        },
        local=noun(autoregressive.pixelcnn),
        cond=arrays("fib", event=3, nan=EITHER),
    ),
    "vae.linear_vae": of(
        vae.linear_vae,
        {"dim": 3, "num_latents": 2, "variance": 1.0},
        num_latents=whole(),
        variance=POSITIVE,
        covariance=choice("diagonal", "full"),
    ),
    "vae.linear_bound": of(
        vae.linear_bound,
        {"params": drawn(LINEAR), "x": X, "variance": 1.0},
        variance=POSITIVE,
    ),
    "vae.linear_optimum": of(
        vae.linear_optimum,
        {
            "mean": VECTOR,
            "covariance": np.eye(3),
            "num_latents": 2,
            "variance": 0.5,
        },
        mean=arrays("fib", lists=True),
        covariance=arrays("fib", lists=True),
        num_latents=whole(1, 3),
        variance=POSITIVE,
    ),
    "vae.best_posterior": of(
        vae.best_posterior,
        {"decoder": points(3, 2), "variance": 1.0},
        decoder=arrays("f", event=0),
        variance=POSITIVE,
        covariance=choice("diagonal", "full"),
    ),
    "vae.linear_probe": of(
        vae.linear_probe,
        {
            "codes": points(4, 2),
            "labels": np.array([0, 1, 0, 1]),
            "new_codes": points(4, 2),
            "new_labels": np.array([0, 1, 0, 1]),
        },
        codes=arrays("fib", lists=True),
        labels=arrays("i", lists=True),
        new_codes=arrays("fib", lists=True),
        new_labels=arrays("i", lists=True),
        ridge=POSITIVE,
    ),
    # ------------------------------------------------------------------------ objectives
    **{
        f"objectives.{name}": of(
            traced(getattr(objectives, name)),
            {"model": LATENT, "params": drawn(LATENT), "key": RAW_KEY, "x": points(5, 2), **more},
            model=noun(combinators.latent_variable),
            x=arrays("fib", event=1, nan=EITHER),
            parts_key=optional(KEY),
            **kinds,
        )
        for name, more, kinds in (
            ("infer", {}, {}),
            ("elbo", {}, {"beta": WEIGHT, "free_bits": WEIGHT, "per": choice("entry", "group")}),
            ("iwae", {"num_samples": 2}, {}),
            ("dreg", {"num_samples": 2}, {}),
            ("stl", {}, {}),
            ("elbo_terms", {"num_data": 9}, {"num_data": whole(5), "estimate": OF_AGGREGATE}),
        )
    },
    "objectives.log_aggregate": of(
        objectives.log_aggregate,
        {"log_q": points(3, 3), "num_data": 9},
        log_q=arrays("f"),
        num_data=whole(3),
        estimate=OF_AGGREGATE,
    ),
    **{
        f"objectives.{name}": of(
            traced(getattr(objectives, name)),
            {
                "model": MODEL,
                "params": PARAMS,
                "key": RAW_KEY,
                "function": lambda z: jnp.square(z).sum(-1),
                "num_samples": 2,
            },
            function=Kind(lambda v: EITHER if callable(v) else REFUSED),
            raises=(TypeError,),
            num_samples=whole(2 if name == "leave_one_out" else 1),
            **kinds,
        )
        for name, kinds in (
            ("score_function", {"baseline": arrays("fib", event=0, numbers=True, nan=EITHER)}),
            ("leave_one_out", {}),
            ("pathwise", {}),
            ("sticking_the_landing", {}),
        )
    },
    "objectives.importance_resampled": of(
        objectives.importance_resampled,
        {"model": LATENT, "params": drawn(LATENT), "x": points(5, 2), "num_samples": 2},
        model=noun(combinators.latent_variable),
        x=arrays("fib", event=1, nan=EITHER),
        num_draws=whole(),
        key=optional(KEY),
    ),
    **{
        f"objectives.{name}": of(getattr(objectives, name))
        for name in ("minimax", "hinge", "wasserstein", "relativistic")
    },
    "objectives.non_saturating": of(
        objectives.non_saturating,
        smoothing=real(lambda v: 0 < v <= 1),
    ),
    "objectives.least_squares": of(
        objectives.least_squares, fake=NUMBER, real=NUMBER, wanted=NUMBER
    ),
    **{
        f"objectives.{name}": of(
            traced(getattr(objectives, name)),
            PLAYED,
            model=noun(combinators.adversarial),
            game=noun(objectives.hinge),
            x=arrays("fib", event=1, nan=EITHER),
            state=ANYTHING,
            **kinds,
            raises=(TypeError,),
        )
        for name, kinds in (
            ("critic_loss", {"penalty": optional(A_CALLABLE), "penalty_weight": WEIGHT}),
            ("generator_loss", {}),
        )
    },
    "objectives.generated": of(
        objectives.generated,
        {"model": GAN, "params": GAN_PARAMS, "state": GAN_STATE, "key": RAW_KEY, "num": 2},
        model=noun(combinators.adversarial),
        state=ANYTHING,
        num=whole(),
        train=FLAG,
    ),
    "objectives.implicit_score_matching": of(
        traced(objectives.implicit_score_matching),
        {"score": jnp.negative, "x": X},
        score=OWN_FUNCTION,
        x=arrays("f", event=-1, nan=EITHER),
        raises=(TypeError, ValueError),
        with_trace=optional(OWN_FUNCTION),
    ),
    "objectives.sliced_score_matching": of(
        traced(objectives.sliced_score_matching),
        {"score": jnp.negative, "key": RAW_KEY, "x": X},
        score=OWN_FUNCTION,
        x=arrays("f", event=-1, nan=EITHER),
        raises=(TypeError, ValueError),
        projections=choice("rademacher", "gaussian"),
        num=whole(most=1000),
    ),
    "objectives.denoising_score_matching": of(
        traced(objectives.denoising_score_matching),
        {"score": jnp.negative, "key": RAW_KEY, "x": X, "sigma": 0.5},
        score=OWN_FUNCTION,
        x=arrays("f", event=-1, nan=EITHER),
        raises=(TypeError, ValueError),
        sigma=Kind(
            lambda v: EITHER if isinstance(v, (jax.Array, np.ndarray)) else POSITIVE.canonical(v)
        ),
    ),
    "objectives.density_ratio_loss": of(
        objectives.density_ratio_loss,
        {"logits_p": VECTOR, "logits_q": VECTOR},
        logits_p=arrays("f", event=0),
        logits_q=arrays("f", event=0),
    ),
    "objectives.ratio_kl": of(
        objectives.ratio_kl, {"logits_p": VECTOR}, logits_p=arrays("f", event=0)
    ),
    "objectives.f_divergence": of(
        objectives.f_divergence,
        {"name": "alpha", "alpha": 0.5},
        name=choice("alpha"),
        alpha=real(lambda v: v not in (0, 1)),
        told={"name": "(name|alpha)"},
    ),
    "objectives.f_bound": of(
        objectives.f_bound,
        {"divergence": KL, "values_p": VECTOR, "values_q": VECTOR},
        divergence=noun(objectives.f_divergence),
        values_p=arrays("f", event=0),
        values_q=arrays("f", event=0),
    ),
    "objectives.f_gan": of(
        objectives.f_gan,
        {"divergence": KL},
        divergence=noun(objectives.f_divergence),
        saturating=FLAG,
    ),
    "objectives.feature_matching": of(
        objectives.feature_matching,
        {"features": jnp.sin, "real": X, "fake": X},
        features=A_CALLABLE,
        real=arrays("f", event=1, nan=EITHER),
        fake=arrays("f", event=1, nan=EITHER),
        raises=(TypeError,),
    ),
    **{
        f"objectives.{name}": of(
            traced(getattr(objectives, name)),
            {"critic": lambda x: x.sum(-1), "key": RAW_KEY, "real": X, "fake": X},
            critic=A_CALLABLE,
            real=arrays("f", event=1, nan=EITHER),
            fake=arrays("f", event=1, nan=EITHER),
            **kinds,
            raises=(TypeError,),
        )
        for name, kinds in (
            ("gradient_penalty", {"target": NOT_NEGATIVE, "one_sided": FLAG}),
            ("r1", {}),
            ("r2", {}),
        )
    },
    "objectives.log_weights": of(
        traced(objectives.log_weights),
        {"model": LATENT, "params": drawn(LATENT), "key": RAW_KEY, "x": points(5, 2)},
        model=noun(combinators.latent_variable),
        x=arrays("fib", event=1, nan=EITHER),
        parts_key=optional(KEY),
    ),
    "objectives.dequantized_log_prob": of(
        objectives.dequantized_log_prob,
        {
            "model": MODEL,
            "noise": NOISE,
            "params": {"model": PARAMS, "noise": {}},
            "key": RAW_KEY,
            "x": BITS,
        },
        noise=noun(distributions.uniform_noise),
        x=arrays("i", event=1),
        model_key=optional(KEY),
    ),
    "objectives.dequantized_nll": of(
        objectives.dequantized_nll,
        {
            "model": MODEL,
            "noise": NOISE,
            "params": {"model": PARAMS, "noise": {}},
            "key": RAW_KEY,
            "x": BITS,
        },
        noise=noun(distributions.uniform_noise),
        x=arrays("i", event=1),
    ),
    "objectives.mean_log_ratio": of(
        objectives.mean_log_ratio,
        {"log_p": VECTOR, "log_q": VECTOR + 1},
        log_p=FLOATS,
        log_q=FLOATS,
        told={"log_p": "log_"},
    ),
    "objectives.reverse_kl": of(
        traced(objectives.reverse_kl),
        {
            "model": STUDENT,
            "params": drawn(STUDENT),
            "key": RAW_KEY,
            "log_density": lambda x: -(x**2).sum(-1),
            "num_samples": 2,
        },
        log_density=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "objectives.bits_per_dim": of(
        objectives.bits_per_dim,
        {"log_prob": VECTOR, "dim": 3},
        log_prob=arrays("fib", event=0, numbers=True),
        log_det=arrays("fib", event=0, numbers=True),
    ),
    "objectives.mean_and_stderr": of(
        objectives.mean_and_stderr, {"values": VECTOR}, values=arrays("fib", event=0)
    ),
    "objectives.nll": of(
        objectives.nll, {"model": MODEL, "params": PARAMS, "key": None, "x": X}, key=optional(KEY)
    ),
    # ------------------------------------------------------------------------- inference
    **{
        f"inference.{name}{kind}": of(
            getattr(inference, name + kind),
            {"dim": 3, "num_latents": 2},
            dim=whole(3),
            num_latents=whole(1, 2),
            **({"floor": POSITIVE} if kind == "_em" else {}),
        )
        for name in ("ppca", "factor_analysis")
        for kind in ("", "_density", "_em")
    },
    "inference.ppca_optimum": of(
        inference.ppca_optimum,
        {"mean": VECTOR, "covariance": np.eye(3, dtype=np.float32), "num_latents": 2},
        mean=arrays("f"),
        covariance=arrays("f"),
        num_latents=whole(1, 2),
    ),
    "inference.gaussian_mean_field": of(
        inference.gaussian_mean_field,
        {"mean": VECTOR, "precision": np.eye(3, dtype=np.float32)},
        mean=arrays("f"),
        precision=arrays("f"),
    ),
    "inference.normal_gamma_mean_field": of(
        inference.normal_gamma_mean_field, {"prior": PRIOR}, prior=noun(inference.NormalGamma)
    ),
    "inference.normal_gamma_posterior": of(
        inference.normal_gamma_posterior,
        {"prior": PRIOR, "x": VECTOR},
        prior=noun(inference.NormalGamma),
        x=arrays("f", event=0),
    ),
    "inference.normal_gamma_evidence": of(
        inference.normal_gamma_evidence,
        {"prior": PRIOR, "x": VECTOR},
        prior=noun(inference.NormalGamma),
        x=arrays("f", event=0),
    ),
    "nets.inception": of(nets.inception),
    "nets.inception_params": of(nets.inception_params, {"arrays": {}}, arrays=DICT),
    "nets.efficientnet_lite0": of(nets.efficientnet_lite0, output=choice("features", "logits")),
    "nets.efficientnet_params": of(nets.efficientnet_params, {"arrays": {}}, arrays=DICT),
    # --------------------------------------------------------------------------- metrics
    "metrics.active_units": of(
        metrics.active_units,
        {"means": np.asarray(X)},
        means=arrays("fib", event=0, lists=True),
        threshold=NOT_NEGATIVE,
    ),
    **{
        f"metrics.{name}": of(
            getattr(metrics, name),
            {
                "model": LATENT,
                "params": drawn(LATENT),
                "key": RAW_KEY,
                **({} if name == "bidirectional_log_prob" else {"x": points(5, 2)}),
                **({} if "annealed" in name or "bi" in name else {"num_samples": 2}),
            },
            **{
                option: kind
                for option, kind in SAMPLED.items()
                if option in inspect.signature(getattr(metrics, name)).parameters
            },
        )._replace(costly=True)
        for name in (
            "naive_log_prob",
            "importance_log_prob",
            "annealed_log_prob",
            "bidirectional_log_prob",
        )
    },
    "metrics.expected_log_prob": of(
        metrics.expected_log_prob,
        {
            "log_prob": lambda key, x: (x[0] if isinstance(x, tuple) else x).sum(-1),
            "key": RAW_KEY,
            "x": np.asarray(X),
        },
        log_prob=Kind(lambda v: EITHER if callable(v) else REFUSED),
        x=arrays("fib", event=0, lists=True),
        num_draws=whole(),
        batch_size=whole(),
        raises=(TypeError,),
    ),
    "metrics.kl_terms": of(
        metrics.kl_terms,
        {"key": RAW_KEY, "mean": points(5, 2), "scale": jnp.ones((5, 2))},
        mean=arrays("f"),
        scale=arrays("f"),
        num_codes=optional(whole(1, 5)),
        batch_size=optional(whole(2, 5)),
        estimate=OF_AGGREGATE,
        chunk=whole(),
        told={"mean": "(mean|scale)"},
    ),
    "metrics.elbo_surgery": of(
        metrics.elbo_surgery,
        {"model": LATENT, "params": drawn(LATENT), "key": RAW_KEY, "x": points(5, 2)},
        model=noun(combinators.latent_variable),
        x=arrays("fib", event=1, nan=EITHER),
        batch_size=optional(whole(2, 5)),
        stratified=FLAG,
        chunk=whole(),
    ),
    **{
        f"metrics.{name}": of(
            getattr(metrics, name),
            {"codes": CODED, "factors": STATES, **more},
            **{
                option: kind
                for option, kind in OF_CODES.items()
                if option in inspect.signature(getattr(metrics, name)).parameters
            },
            raises=(TypeError, ValueError),  # of a function of one's own
        )._replace(costly=name == "code_scores")
        for name, more in (
            ("mutual_information", {}),
            ("mig", {}),
            ("modularity", {}),
            ("explicitness", {"key": RAW_KEY}),
            ("sap", {"key": RAW_KEY}),
            ("dci", {"key": RAW_KEY, "predictor": metrics.random_forest(num_trees=1)}),
            ("beta_vae_score", {"key": RAW_KEY, **FEW_BATCHES}),
            ("factor_vae_score", {"key": RAW_KEY, **FEW_BATCHES}),
            ("code_scores", {"key": RAW_KEY, "predictor": metrics.random_forest(num_trees=1)}),
        )
    },
    "metrics.random_forest": of(
        metrics.random_forest, num_trees=whole(), min_rows=whole()
    )._replace(costly=True),
    "metrics.gradient_boosting": of(metrics.gradient_boosting, num_trees=whole()),
    "metrics.udr": of(
        metrics.udr,
        {"codes": [CODED, CODED**3]},
        codes=Kind(lambda v: EITHER if isinstance(v, (list, tuple)) else REFUSED),
        kl=Kind(lambda v: None if v is None else REFUSED),
        threshold=NOT_NEGATIVE,
    ),
    **{
        f"metrics.{name}": of(
            getattr(metrics, name),
            {"real": np.asarray(X), "fake": np.asarray(X) + 0.5, **more},
            real=ROWS_OF_FEATURES,
            fake=ROWS_OF_FEATURES,
            raises=(TypeError,),  # of a function of one's own
            **kinds,
        )
        for name, more, kinds in (
            ("frechet_distance", {}, {}),
            ("mmd", {"kernel": RBF}, {"kernel": OWN_FUNCTION}),
            (
                "kernel_distance",
                {"key": RAW_KEY, "num_subsets": 1, "subset_size": 3},
                {
                    "kernel": optional(OWN_FUNCTION),
                    "num_subsets": whole(),
                    "subset_size": whole(2, 5),
                },
            ),
            ("precision_recall", {}, {"k": whole(1, 4), "chunk": whole()}),
            ("density_coverage", {"k": 2}, {"k": whole(1, 4), "chunk": whole()}),
            (
                "sliced_wasserstein",
                {"key": RAW_KEY, "num_directions": 3},
                {"num_directions": whole(1, 1000), "order": whole()},
            ),
            ("two_sample_test", {"key": RAW_KEY}, {"classifier": optional(OWN_FUNCTION)}),
        )
    },
    "metrics.features": of(
        lambda name, data_dir="no such folder", *, batch_size=50: metrics.features(
            name, data_dir, batch_size=batch_size
        ),
        {"name": "inception"},
        name=choice("inception", "efficientnet", "efficientnet_logits"),
        data_dir=optional(PATH),
        batch_size=whole(),
        raises=(FileNotFoundError,),
    ),
    "metrics.moments": of(
        metrics.moments, {"features": np.asarray(X)}, features=arrays("fib", event=-1, lists=True)
    ),
    "metrics.frechet_floor": of(
        metrics.frechet_floor,
        {"covariance": np.eye(3, dtype=np.float32), "num_real": 9, "num_fake": 9},
        covariance=arrays("f", nan=REFUSED),
        num_real=whole(2),
        num_fake=whole(2),
    ),
    "metrics.inception_score": of(
        metrics.inception_score,
        {"logits": np.asarray(X)},
        logits=arrays("fib", event=-1, lists=True),
        num_splits=whole(1, 5),
    ),
    "metrics.rbf_kernel": of(
        lambda bandwidth: metrics.rbf_kernel(bandwidth)(X, X),
        {"bandwidth": 1.0},
        bandwidth=POSITIVE,
    ),
    "metrics.polynomial_kernel": of(
        lambda degree=3, scale=None, offset=1.0: metrics.polynomial_kernel(
            degree=degree, scale=scale, offset=offset
        )(X, X),
        degree=whole(),
        scale=optional(POSITIVE),
        offset=NOT_NEGATIVE,
    ),
    "metrics.nearest_neighbours": of(
        lambda k=None: metrics.nearest_neighbours(k=k)(*LABELLED), k=optional(whole())
    ),
    "metrics.logistic_regression": of(
        lambda penalty=1.0, num_steps=20: metrics.logistic_regression(
            penalty=penalty, num_steps=num_steps
        )(*LABELLED),
        penalty=POSITIVE,
        num_steps=whole(1, 1000),
    ),
    # ----------------------------------------------------------------------------- plots
    "plots.sample_grid": of(
        plots.sample_grid,
        {"images": np.abs(np.asarray(points(4, 2, 2)))},
        images=arrays("fib", event=0, lists=True),
        columns=optional(whole()),
        row_names=Kind(lambda v: EITHER),
        column_names=Kind(lambda v: EITHER),
        vmin=optional(NUMBER),
        vmax=optional(NUMBER),
    ),
    "plots.densities": of(
        plots.densities,
        {"log_probs": {"p": lambda x: -(x**2).sum(-1)}, "resolution": 2},
        log_probs=noun(),
        bounds=Kind(lambda v: EITHER if isinstance(v, (list, tuple)) else REFUSED),
        resolution=whole(2),
        samples=optional(noun()),
    ),
    "plots.planes": of(
        plots.planes,
        {"rows": {"a": {"b": np.asarray(points(4, 2))}}},
        rows=noun(),
        bounds=Kind(lambda v: EITHER if isinstance(v, (list, tuple)) else REFUSED),
        fields=optional(noun()),
        scale=optional(POSITIVE),
        label=TEXT,
    ),
    "plots.image_rows": of(
        plots.image_rows,
        {"rows": {"a": np.abs(np.asarray(points(4, 2, 2)))}},
        rows=noun(),
        column_names=Kind(lambda v: EITHER),
        vmin=optional(NUMBER),
        vmax=optional(NUMBER),
    ),
    "plots.latent_space": of(
        plots.latent_space,
        {"codes": {"a": np.asarray(points(4, 3))}, "labels": np.arange(4)},
        codes=noun(),
        labels=Kind(lambda v: EITHER),
    ),
    "plots.curves": of(
        plots.curves,
        {"series": {"a": ([1, 2], [1.0, 2.0])}, "xlabel": "x", "ylabel": "y"},
        series=noun(),
        xlabel=TEXT,
        ylabel=TEXT,
        baselines=optional(DICT),
        colours=optional(noun()),
    ),
    "plots.bars": of(
        plots.bars,
        {"values": {"a": {"b": 1.0}}, "ylabel": "y"},
        values=noun(),
        ylabel=TEXT,
        outlines=optional(noun()),
    ),
    "plots.save": of(
        plots.save,
        {"figure": plots.new_figure((1, 1)), "path": "figure.png"},
        figure=noun(),
        path=PATH,
    ),
    # -------------------------------------------------------------------------- learning
    "learning.Checkpoints": of(
        opened, {"directory": "checkpoints", "keep": 3}, directory=PATH, keep=whole()
    ),
    "learning.averaged": of(
        learning.averaged, {"state": DESCENT.init(RAW_KEY)}, state=noun(learning.TrainState)
    ),
    "learning.data_mesh": of(learning.data_mesh, num_devices=optional(whole())),
    "learning.over_devices": of(
        learning.over_devices,
        {"function": square},
        function=FUNCTION,
        num_devices=optional(whole()),
        static_argnums=ANYTHING,
    ),
    "learning.training_mesh": of(
        learning.training_mesh,
        {"algorithm": DESCENT, "batch": np.ones((2, 3))},
        algorithm=noun(learning.gradient_descent),
        batch=ANYTHING,
        fixed=ANYTHING,
    ),
    "learning.replicate": of(
        learning.replicate,
        {"tree": np.ones(2), "mesh": learning.data_mesh(1)},
        tree=ANYTHING,
        mesh=noun(learning.data_mesh),
        raises=(TypeError,),
    ),
    "learning.shard_batch": of(
        learning.shard_batch,
        {"batch": np.ones((2, 3)), "mesh": learning.data_mesh(1)},
        batch=ANYTHING,
        mesh=noun(learning.data_mesh),
        raises=(TypeError,),
    ),
    "learning.expectation_maximization": of(
        learning.expectation_maximization,
        {"init": decay, "e_step": square, "m_step": square},
        e_step=FUNCTION,
        m_step=FUNCTION,
    ),
    "learning.adversaries": of(
        learning.adversaries,
        {
            "model": GAN,
            "game": objectives.hinge(),
            "critic": optax.sgd(0.1),
            "generator": optax.sgd(0.1),
        },
        model=noun(combinators.adversarial),
        game=noun(objectives.hinge),
        critic=noun(optax.sgd),
        generator=noun(optax.sgd),
        num_critic_updates=whole(),
        penalty=optional(FUNCTION),
        penalty_weight=NOT_NEGATIVE,
    ),
    "learning.adam": of(
        learning.adam,
        {"learning_rate": 1e-3},
        learning_rate=Kind(lambda v: v if callable(v) else NOT_NEGATIVE.canonical(v)),
        b1=SHARE,
        b2=SHARE,
        eps=POSITIVE,
        weight_decay=NOT_NEGATIVE,
        decayed=optional(FUNCTION),
    ),
    "learning.packed": of(
        learning.packed, {"optimizer": optax.sgd(0.1)}, optimizer=noun(optax.sgd)
    ),
    "learning.clip_weights": of(learning.clip_weights, {"limit": 0.1}, limit=POSITIVE),
    "learning.historical_averaging": of(
        learning.historical_averaging, {"weight": 0.1}, weight=NOT_NEGATIVE
    ),
    "learning.gradient_descent": of(
        learning.gradient_descent,
        {"init": decay, "loss": square, "optimizer": optax.sgd(0.1)},
        loss=FUNCTION,
        optimizer=noun(optax.sgd),
        compute_dtype=optional(noun()),
    ),
    "learning.langevin": of(
        learning.langevin,
        {"init": decay, "score": jnp.sin, "step_size": 0.1},
        score=FUNCTION,
        step_size=Kind(lambda v: v if callable(v) else POSITIVE.canonical(v)),
        temperature=NOT_NEGATIVE,
    ),
    "learning.load": of(
        learning.load, {"workdir": "run"}, workdir=PATH, raises=(FileNotFoundError,)
    ),
    "learning.save": of(
        learning.save,
        {"workdir": "saved", "params": {"w": np.ones(2)}},
        workdir=PATH,
        params=ANYTHING,
        recipe=optional(noun()),
    ),
    "learning.fit": of(
        learning.fit,
        {"algorithm": STILL, "key": RAW_KEY, "num_steps": 2},
        algorithm=noun(learning.gradient_descent),
        draw=Kind(lambda v: None if v is None else EITHER if callable(v) else REFUSED),
        fixed=ANYTHING,
        raises=(TypeError,),
    ),
    "learning.train": of(
        trained,
        {"algorithm": STILL, "key": RAW_KEY, "num_steps": 1, "progress": False},
        algorithm=noun(learning.gradient_descent),
        batch=Kind(lambda v: None if v is None else EITHER if callable(v) else REFUSED),
        evaluate=Kind(lambda v: None if v is None else EITHER if callable(v) else REFUSED),
        monitor=Kind(lambda v: None if v is None else REFUSED),
        minimise=FLAG,
        stages=optional(DICT),
        eval_every=Kind(lambda v: None if v is None else REFUSED),  # without evaluate
        patience=Kind(lambda v: None if v is None else REFUSED),
        fixed=ANYTHING,
        identity=optional(DICT),
        recipe=optional(noun()),
        log_every=whole(),
        workdir=optional(PATH),
        checkpoint_every=Kind(lambda v: None if v is None else REFUSED),
        on_log=Kind(lambda v: None if v is None else EITHER if callable(v) else REFUSED),
        progress=FLAG,
        description=TEXT,
        mesh=optional(noun(learning.data_mesh)),
        raises=(TypeError,),
    ),
    "learning.fingerprint": of(
        learning.fingerprint, {"tree": np.ones(2)}, tree=ANYTHING, raises=(TypeError,)
    ),
    "learning.fit_to_data": of(
        fitted,
        {"model": MODEL, "x": points(8, 3), "key": RAW_KEY, "num_steps": 1, "progress": False},
        x=arrays("f", lists=True),
        num_levels=Kind(lambda v: None if v is None else REFUSED),  # of integers
        preprocessing=optional(noun(data.standardize)),
        valid_share=SHARE_OF_ROWS,
        test_share=SHARE_OF_ROWS,
        split_seed=SEED,
        batch_size=whole(),
        learning_rate=POSITIVE,
        weight_decay=NOT_NEGATIVE,
        ema_decay=INSIDE,
        eval_every=optional(whole()),
        patience=optional(whole()),
        workdir=Kind(lambda v: None if v is None else EITHER if isinstance(v, str) else REFUSED),
        progress=FLAG,
    )._replace(costly=True),
    "learning.alternate": of(
        learning.alternate,
        {"players": {"a": learning.Player(square, optax.sgd(0.1))}, "init": decay},
        players=noun(),
    ),
    # -------------------------------------------------------------------- autoregressive
    "autoregressive.density": of(
        autoregressive.density,
        {"net": MADE, "conditional": likelihoods.gaussian(), "shape": 3},
        net=noun(nets.made),
        shape=or_one(SHAPE),
        family=noun(),
    ),
    "autoregressive.gated_pixelcnn": of(
        autoregressive.gated_pixelcnn,
        {**PICTURE, "conditional": CONDITIONAL},
        **ONE_WIDTH,
        kernel_size=whole(3),
        first_kernel_size=whole(3),
    ),
    "autoregressive.pixelcnn": of(
        autoregressive.pixelcnn,
        {**PICTURE, "conditional": CONDITIONAL},
        **ONE_WIDTH,
        kernel_size=whole(3),
        first_kernel_size=whole(3),
    ),
    "autoregressive.pixelcnn_pp": of(
        autoregressive.pixelcnn_pp,
        {**PICTURE, "conditional": CONDITIONAL},
        **ONE_WIDTH,
        kernel_size=whole(3),
    ),
    "autoregressive.pixelsnail": of(
        autoregressive.pixelsnail,
        {**PICTURE, "conditional": CONDITIONAL},
        **ONE_WIDTH,
        kernel_size=whole(3),
        num_convs=whole(),
    ),
    "autoregressive.image_gpt": of(
        autoregressive.image_gpt,
        {**PICTURE, "conditional": CONDITIONAL, "num_heads": 1},
        **ONE_WIDTH,
        window=optional(whole()),
        order=optional(permutation(4)),
    ),
    "autoregressive.made": of(
        autoregressive.made,
        {"dim": 3, "conditional": CONDITIONAL, **H},
        **OF_LAYER,
        masks=noun(autoregressive.Masks),
    ),
    "autoregressive.observed_first": of(
        autoregressive.observed_first,
        {"given": np.array([True, False])},
        given=arrays("b", event=0, lists=True),
    ),
    "autoregressive.markov": of(
        autoregressive.markov,
        {"dim": 3, "conditional": CONDITIONAL, "window": 1, **H},
        hidden=sizes(fewest=1),
    ),
    "autoregressive.rnn": of(
        autoregressive.rnn,
        {"dim": 3, "conditional": CONDITIONAL, "hidden": 2},
        **ONE_WIDTH,
        cell=choice("gru", "lstm"),
    ),
    "autoregressive.table": of(
        autoregressive.table, {"dim": 3, "num_levels": 2, "window": 1}, window=whole(0)
    ),
    "autoregressive.fit_table": of(
        autoregressive.fit_table,
        {"x": BITS, "num_levels": 2, "window": 1},
        x=arrays("i", event=0, lists=True),
        window=whole(0),
        smoothing=NOT_NEGATIVE,
    ),
    "autoregressive.num_parameters": of(
        autoregressive.num_parameters, {"dim": 3, "num_levels": 2, "window": 1}, window=whole(0)
    ),
    "autoregressive.transformer": of(
        autoregressive.transformer,
        {"dim": 3, "conditional": CONDITIONAL, "hidden": 2, "num_layers": 1, "num_heads": 1},
        **ONE_WIDTH,
        window=optional(whole()),
        grid=optional(SHAPE),
    ),
    "autoregressive.wavenet": of(
        autoregressive.wavenet,
        {"dim": 3, "conditional": CONDITIONAL, "hidden": 2, "dilations": (1, 2)},
        **ONE_WIDTH,
        dilations=SHAPE,
        kernel_size=whole(2),
        skip=optional(whole()),
    ),
    # ------------------------------------------------------------------------- inference
    "inference.gaussian_mixture": of(
        inference.gaussian_mixture, {"dim": 3, "num_components": 2}, covariance=OF_MIXTURES
    ),
    "inference.gaussian_parameters": of(
        inference.gaussian_parameters,
        {
            "weights": jnp.full(2, 0.5),
            "means": jnp.zeros((2, 3)),
            "covariances": jnp.stack([jnp.eye(3)] * 2),
        },
        told={"means": "covariances|weights|means"},
        weights=FLOATS,
        means=FLOATS,
        covariances=FLOATS,
        covariance=OF_MIXTURES,
    ),
    "inference.gaussian_mixture_em": of(
        inference.gaussian_mixture_em,
        {"start": points(6, 3), "num_components": 2},
        told={"start": "x"},
        prior=optional(noun(inference.normal_inverse_wishart)),
        **OF_EM,
    ),
    "inference.fit_gaussian_mixture": of(
        inference.fit_gaussian_mixture,
        {"x": points(6, 3), "key": RAW_KEY, "num_components": 2, "num_steps": 2},
        prior=optional(noun(inference.normal_inverse_wishart)),
        **IN_ONE_CALL,
    )._replace(costly=True),
    "inference.bernoulli_mixture": of(inference.bernoulli_mixture, {"dim": 3, "num_components": 2}),
    "inference.bernoulli_mixture_em": of(
        inference.bernoulli_mixture_em,
        {"start": BITS, "num_components": 2},
        told={"start": "x"},
        smoothing=NOT_NEGATIVE,
        **{name: kind for name, kind in OF_EM.items() if name not in ("covariance", "form")}
        | {"start": arrays("fib", event=0), "floor": real(lambda v: 0 < v < 0.5)},
    ),
    "inference.fit_bernoulli_mixture": of(
        inference.fit_bernoulli_mixture,
        {"x": BITS, "key": RAW_KEY, "num_components": 2, "num_steps": 2},
        smoothing=NOT_NEGATIVE,
        **{name: kind for name, kind in IN_ONE_CALL.items() if name not in ("covariance", "form")}
        | {"x": arrays("fib", event=0), "floor": real(lambda v: 0 < v < 0.5)},
    )._replace(costly=True),
    "inference.kmeans": of(
        inference.kmeans,
        {"key": RAW_KEY, "x": points(6, 3), "num_components": 2},
        x=arrays("f", event=-1),
        num_steps=whole(0),
    ),
    "inference.kmeans_plus_plus": of(
        inference.kmeans_plus_plus,
        {"key": RAW_KEY, "x": points(6, 3), "num_components": 2},
        x=arrays("f", event=-1),
    ),
    "inference.normal_inverse_wishart": of(
        inference.normal_inverse_wishart,
        {"mean": jnp.zeros(3), "scale": jnp.eye(3)},
        told={"mean": "scale|mean"},
        mean=FLOATS,
        scale=FLOATS,
        concentration=POSITIVE,
        mean_precision=NOT_NEGATIVE,
        degrees=optional(real(lambda v: v >= -5)),
    ),
    "inference.prior_of": of(
        inference.prior_of,
        {"x": points(6, 3), "num_components": 2},
        x=arrays("f", event=-1),
    ),
    "inference.expected_parameters": of(
        inference.expected_parameters,
        {
            "q": inference.Conjugate(
                *(jnp.ones(2), jnp.zeros((2, 1))), *[jnp.ones(2)] * 2, jnp.ones((2, 1, 1))
            )
        },
        q=noun(),
    ),
    "inference.variational_mixture": of(
        inference.variational_mixture,
        {"start": points(6, 3), "num_components": 2, "prior": CONJUGATE},
        told={"start": "x"},
        prior=noun(inference.normal_inverse_wishart),
        **{n: OF_EM[n] for n in ("start", "start_steps", "form", "chunk")},
    ),
    "inference.fit_variational_mixture": of(
        inference.fit_variational_mixture,
        {"x": points(6, 3), "key": RAW_KEY, "num_components": 2, "num_steps": 2},
        prior=optional(noun(inference.normal_inverse_wishart)),
        **{n: IN_ONE_CALL[n] for n in ("x", "start_steps", "form", "chunk", "num_restarts")},
    )._replace(costly=True),
    # ----------------------------------------------------------------------------- flows
    "flows.actnorm": of(flows.actnorm, {"dim": 3}),
    "flows.autoregression": of(flows.autoregression, {"dim": 3, **H}, **OF_LAYER),
    "flows.elementwise": of(flows.elementwise, {"dim": 3, "law": LAW}, law=noun(bijectors.affine)),
    "flows.cdf": of(flows.cdf, {"dim": 3}),
    "flows.neural_ode": of(
        flows.neural_ode,
        {"field": FIELD, "dim": 3},
        field=noun(flows.mlp_field),
        noise=optional(USUAL["noise"]),
    ),
    "flows.cnf": of(flows.cnf, {"dim": 3}, hidden=sizes(fewest=1)),
    "flows.conv1x1": of(
        flows.conv1x1, {"num_channels": 2}, num_channels=whole(), num_reflections=optional(whole())
    ),
    "flows.coupling": of(flows.coupling, {"dim": 3, **H}, mask=optional(mask(3))),
    "flows.multiscale": of(
        flows.multiscale,
        {
            "shape": (2, 2, 1),
            "scale": lambda shape, cond: FLOW,
            "final": lambda shape, cond: FLOW,
            "num_scales": 1,
        },
        scale=FUNCTION,
        final=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.variational_noise": of(
        flows.variational_noise,
        {**FLOW_OF_IMAGES, "num_levels": 4, "num_couplings": 1},
        **ONE_WIDTH,
        num_couplings=whole(),
        net=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.distillation": of(
        traced(flows.distillation),
        {
            "student": STUDENT,
            "params": drawn(STUDENT),
            "key": RAW_KEY,
            "teacher": MODEL,
            "teacher_params": PARAMS,
            "num_samples": 2,
        },
        student=noun(combinators.pushforward),
        teacher=noun(combinators.pushforward),
        teacher_params=PARAMETERS,
        told={"teacher_params": "params"},
    ),
    "flows.ffjord": of(flows.ffjord, {"dim": 3}, hidden=sizes(fewest=1)),
    "flows.regularized_nll": of(
        traced(flows.regularized_nll),
        {"model": CNF, "params": drawn(CNF, 0.1), "key": None, "x": X},
        key=optional(KEY),
        x=arrays("f", event=1, nan=EITHER),
        kinetic=NOT_NEGATIVE,
        frobenius=NOT_NEGATIVE,
    )._replace(costly=True),
    "flows.flow_pp": of(
        flows.flow_pp,
        {**FLOW_OF_IMAGES, "num_couplings": (1, 1, 1), "hidden": 4},
        **ONE_WIDTH,
        num_couplings=sizes(fewest=3, most=3),
        net=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.glow": of(
        flows.glow,
        {**FLOW_OF_IMAGES, "num_scales": 1, "num_steps": 1},
        **ONE_WIDTH,
        net=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.iaf": of(flows.iaf, {"dim": 3, **H, "num_layers": 2}, **OF_LAYER),
    "flows.maf": of(flows.maf, {"dim": 3, **H, "num_layers": 2}, **OF_LAYER),
    "flows.diagonal": of(flows.diagonal, {"dim": 3}),
    "flows.plu": of(flows.plu, {"dim": 3}),
    "flows.qr": of(flows.qr, {"dim": 3}, num_reflections=optional(whole())),
    "flows.triangular": of(flows.triangular, {"dim": 3}, lower=FLAG),
    "flows.channel_coupling": of(
        flows.channel_coupling,
        FLOW_OF_IMAGES,
        **ONE_WIDTH,
        net=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.mlp_field": of(flows.mlp_field, {"dim": 3, **H}, hidden=sizes(fewest=1)),
    "flows.planar": of(flows.planar, {"dim": 3}),
    "flows.realnvp": of(
        flows.realnvp, {"dim": 3, **H, "num_layers": 2}, shuffle=optional(SEED), num_layers=whole(2)
    ),
    "flows.realnvp_image": of(
        flows.realnvp_image,
        {**FLOW_OF_IMAGES, "num_scales": 1, "num_couplings": 1},
        **ONE_WIDTH,
        num_couplings=whole(),
        net=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "flows.sylvester": of(
        flows.sylvester,
        {"dim": 3},
        form=choice("orthogonal", "householder", "triangular"),
        num_units=optional(whole()),
        num_reflections=optional(whole()),
    ),
    # ---------------------------------------------------------------------------- gans
    "gans.progressive": of(gans.progressive, SMALL_GAN, **GROWING),
    "gans.stylegan": of(
        gans.stylegan,
        SMALL_GAN | {"num_styles": 2, "mapping_layers": 1},
        num_styles=whole(),
        mapping_layers=whole(),
        lr_multiplier=POSITIVE,
        mixing=real(lambda v: 0 <= v <= 1),
        style_decay=SHARE,
        **GROWING,
    ),
    "gans.shrunk": of(
        gans.shrunk,
        {"x": points(8, 8, 1), "size": 4},
        x=arrays("f", event=-1),
        size=Kind(lambda v: int(v) if is_whole(v) and v in (4, 8) else REFUSED),
        alpha=ANYTHING,
    ),
    "gans.mixed_styles": of(
        gans.mixed_styles,
        {"first": points(4, 2), "second": points(4, 2), "crossover": 1},
        first=arrays("f", nan=EITHER),
        second=arrays("f", nan=EITHER),
        crossover=ANYTHING,
    ),
    "gans.truncated_styles": of(
        gans.truncated_styles,
        {"styles": points(4, 2), "mean": points(2), "truncation": 0.5},
        styles=arrays("f", event=1)._replace(more=lambda good: {}),
        mean=arrays("f"),
        truncation=ANYTHING,
        cutoff=ANYTHING,
    ),
    "gans.in_all_layers": of(
        gans.in_all_layers,
        {"w": points(3, 2), "num_layers": 4},
        w=arrays("f", event=-1),
        num_layers=whole(most=10_000),
    ),
    # --------------------------------------------------------------------- measure, runs
    "measure.made_pass": of(
        measure.made_pass,
        {"dim": 3, **H, "num_layers": 2, "batch": 2},
        hidden=sizes(fewest=1),
        batch=whole(),
    ),
    "measure.products": of(
        lambda function: measure.products(function, VECTOR),
        {"function": jnp.sin},
        function=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "measure.machine": of(measure.machine),
    "measure.num_cores": of(measure.num_cores),
    "measure.compare": of(
        functools.wraps(measure.compare)(
            lambda thunks, **options: list(measure.compare(thunks, **options))
        ),
        {"thunks": {"a": int}, "repeats": 1, "min_seconds": 0.0, "warm_up": False},
        thunks=noun(),
        repeats=whole(),
        min_seconds=real(lambda v: 0 <= v <= 86_400),
        warm_up=FLAG,
        clock=choice("wall", "cpu"),
    ),
    "measure.program": of(
        lambda function: measure.program(function, VECTOR).run(),
        {"function": jnp.sin},
        function=Kind(lambda v: EITHER if callable(v) else REFUSED),
        raises=(TypeError,),
    ),
    "runs.builder": of(
        runs.builder,
        {"function": decay},
        function=Kind(lambda v: EITHER if inspect.isfunction(v) else REFUSED),
    ),
    "runs.locked": of(
        lambda directory: runs.locked(directory).__enter__(),
        {"directory": "."},
        directory=PATH,
        raises=(FileNotFoundError,),
    ),
    "runs.tensorboard": of(
        runs.tensorboard,
        {"folder": "board"},
        folder=PATH,
        told={"folder": "(folder|tensorboardX)"},
    ),
    "runs.short": of(runs.short, {"value": 1.5}, value=NUMBER),
    "runs.table": of(
        runs.table,
        {"rows": [{"a": 1}]},
        rows=Kind(lambda v: EITHER if isinstance(v, (list, tuple)) else REFUSED),
        columns=Kind(lambda v: None if v is None else EITHER),
    ),
    "runs.write_json": of(
        runs.write_json, {"path": "value.json", "value": 1.5}, path=PATH, value=ANYTHING
    ),
}
