"""One picture of what the library makes: a panel for each of the eight chapters.

    python -m experiments.poster

trains a small model of every chapter on what needs no download, and draws poster.png, with which
the README begins:

    autoregressive  digits by class from a Gated PixelCNN, as their pixels are drawn one by one
    flows           a grid of noise as a RealNVP bends it, in the colours of the density
    inference       ten Gaussians that EM fits, and points in the colours of who explains them
    vae             E[x | z] over the plane of two codes
    gans            samples of a game with R1 over the values of its critic
    disentangled    what each number of a β-TCVAE's code does to a shape
    quantized       digits, their maps of sixteen codes, and the pictures of these
    diffusion       the density of noisy data, and paths of the ODE of a learned score

Each panel comes with a number that says what was learned. Expect 1.70 bits a pixel given the class,
areas that agree with |det J| to 2 %, -2.67 nats a row, 2.17 bits a pixel by the ELBO, 8 of 8 modes,
a MIG of 0.32, a perplexity of 47 of 64 codes, and samples of a diffusion that are 0.04 away from
the data on average. It takes three minutes on two CPU cores, a third of them for the digits drawn
pixel by pixel. The picture has a palette of 256 colours, so that it is small.
"""

from __future__ import annotations  # types are not looked up: distrax takes a second

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dgm_jax import (
    autoregressive,
    checks,
    diffusion,
    disentangled,
    inference,
    learning,
    likelihoods,
    metrics,
    nets,
    objectives,
    plots,
    quantized,
    runs,
    vae,
)
from dgm_jax import data as datasets
from dgm_jax.runs import processes
from experiments import fitting, sets
from experiments.flows import intuition
from experiments.gans import plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from dgm_jax.protocol import Key, Params

NOT_YET = (0.84, 0.89, 0.94)  # the colour of pixels that are not drawn yet


@dataclasses.dataclass(frozen=True)
class Config(runs.RunOptions):
    share: float = 1.0
    """of the steps that each model is trained: 0.1 takes a tenth of them"""


QUICK = {"share": 0.005}


def steps(config: Config, num: int) -> int:
    """num · config.share, and at least 2."""
    return max(round(config.share * num), 2)


def learned(descent: Any, key: Key, draw: Any, num_steps: int) -> Params:
    """The parameters after all steps, which are one compiled function of the key."""
    fit = jax.jit(lambda key: learning.fit(descent, key, draw, num_steps=num_steps)[0])
    return descent.params(fit(key))


def digits() -> tuple:
    """The digits as rows, {"train", "test"} [n, 64], and their classes."""
    found = datasets.load("digits")
    return {split: getattr(found, split).reshape(-1, 64) for split in ("train", "test")}, found


# ------------------------------------------------- the chapters: a number and what draws the panel
def of_autoregressive(config: Config, key: Key) -> tuple:
    """Pixels in their order, on the way from none to all."""
    rows, found = digits()
    levels = likelihoods.discretized_logistic(17)
    model = autoregressive.gated_pixelcnn((8, 8, 1), levels, num_layers=4, cond_shape=(10,))
    num_steps = steps(config, 450)
    adamw = fitting.AdamW(3e-3, num_steps, weight_decay=1.0, warm_up=num_steps // 20)
    x = {split: jnp.asarray(part.reshape(-1, 8, 8, 1)) for split, part in rows.items()}
    classes = {split: sets.one_hot(found.labels[split], 10) for split in rows}

    def draw(key, t):
        which = jax.random.randint(key, (64,), 0, len(x["train"]))
        return x["train"][which], jnp.asarray(classes["train"])[which]

    descent = learning.gradient_descent(
        model.init,
        lambda params, key, batch: objectives.nll(model, params, key, *batch),
        adamw.optimizer(),
    )
    train_key, draw_key = jax.random.split(key)
    params = learned(descent, train_key, draw, num_steps)
    asked = sets.one_hot(np.array([0, 2, 3, 5, 6, 9]), 10)

    @jax.jit
    def look(params):
        nats = model.dist(params, classes["test"]).log_prob(x["test"])
        return nats.mean(), model.dist(params, asked).sample(seed=draw_key)

    nats, samples = look(params)
    seen = np.arange(64) < np.array([[12], [22], [32], [42], [52], [64]])
    grey = np.asarray(samples).reshape(6, 1, 64, 1) / 16
    shown = np.where(seen[..., None], grey, NOT_YET).reshape(-1, 8, 8, 3)
    bits = objectives.bits_per_dim(nats, 64)
    return {"bits a pixel, given the class": bits}, lambda axes: images(axes, shown, 6)


def of_flows(config: Config, key: Key) -> tuple:
    """The grid of `experiments.flows.intuition`, in the colours of p(x)."""
    fine = intuition.Config(
        seed=config.seed, num_steps=steps(config, 1500), hidden=(64, 64), num_cells=30, parts=(4,)
    )
    found, (before, after, log_det, _) = intuition.on_the_plane(fine)
    log_prob = -np.square(before.mean(1)).sum(-1) / 2 - np.log(2 * np.pi) - log_det

    def draw(axes):
        from matplotlib.collections import PolyCollection

        cells = PolyCollection(list(after), array=np.exp(log_prob), cmap=few("magma", 40), lw=0.35)
        cells.set_edgecolor((1.0, 1.0, 1.0, 0.45))
        axes.add_collection(cells)
        axes.set(xlim=(-4, 4), ylim=(-4, 4), facecolor="black")

    return {"error of an area, relative": found["4"]["mean_area_error"]}, draw


def of_inference(config: Config, key: Key) -> tuple:
    """Ellipses at two deviations, and responsibilities as mixtures of colours."""
    data_key, fit_key = jax.random.split(key)
    x = datasets.pinwheel().sample(data_key, 1500)
    fitted = inference.fit_gaussian_mixture(
        x, fit_key, num_components=10, num_restarts=10, num_steps=steps(config, 200)
    )
    p = fitted.model.dist(fitted.params)
    nats = p.log_prob(x).mean()
    who = p.responsibilities(x)  # ty: ignore[missing-attribute]  # which a mixture has
    who, x = np.asarray(who, np.float64), np.asarray(x, np.float64)

    def draw(axes):
        from matplotlib import colormaps
        from matplotlib.patches import Ellipse

        colours = colormaps["tab10"](np.arange(10))[:, :3]
        axes.scatter(*x.T, s=2.5, c=np.clip(who @ colours, 0, 1), linewidths=0)
        for share, colour in zip(who.T, colours):
            mean, covariance = np.average(x, 0, share), np.cov(x.T, aweights=share, ddof=0)
            values, turn = np.linalg.eigh(covariance)
            width, height = 4 * np.sqrt(values)
            angle = np.degrees(np.arctan2(turn[1, 0], turn[0, 0]))
            axes.add_patch(
                Ellipse(
                    (mean[0], mean[1]), width, height, angle=angle, fill=False, ec=colour, lw=1.6
                )
            )
        axes.set(xlim=(-4, 4), ylim=(-4, 4))

    return {"nats a row": nats}, draw


def of_vae(config: Config, key: Key) -> tuple:
    """The plane of codes at even quantiles of the prior."""
    rows, _ = digits()
    levels = likelihoods.discretized_logistic(17)
    encoder = nets.mlp(64, 4, hidden=(256, 256))
    decoder = nets.mlp(2, 64 * levels.num_params, hidden=(256, 256))
    model = vae.vae(encoder, decoder, levels, 64, num_latents=2)
    train = jnp.asarray(rows["train"])
    descent = learning.gradient_descent(
        model.init,
        lambda params, key, x: objectives.elbo(model, params, key, x),
        fitting.AdamW(1e-3, steps(config, 3000), weight_decay=0.1).optimizer(),
    )
    train_key, test_key = jax.random.split(key)
    params = learned(
        descent, train_key, lambda key, t: jax.random.choice(key, train, (64,)), steps(config, 3000)
    )
    at = jax.scipy.special.ndtri(jnp.linspace(0.04, 0.96, 9))
    z = jnp.stack(jnp.meshgrid(at, -at), -1).reshape(-1, 2)

    @jax.jit
    def look(params):
        elbo = -objectives.elbo(model, params, test_key, rows["test"])[0]
        return elbo, model.likelihood(params, z).mean()

    elbo, means = look(params)
    shown = np.asarray(means).reshape(-1, 8, 8) / 16
    bits = objectives.bits_per_dim(elbo, 64)
    return {"bits a pixel, by the ELBO": bits}, lambda axes: images(axes, shown, 9)


def of_gans(config: Config, key: Key) -> tuple:
    """A game of `experiments.gans.plane` on the ring."""
    own = plane.Config(num_seeds=1, num_steps=steps(config, 3000))
    target, play = plane.ring(), plane.GAMES["non-saturating, R1"]()
    num, length = plane.chunks(own)
    game = plane.played(own, play, target, length)
    play_key, look_key = jax.random.split(key)
    trained = jax.tree.map(lambda a: a[0], learned(game, play_key, None, num))
    model = plane.build(own, play)
    look = jax.jit(lambda params, key: plane.looked_at(model, target, play.packed, params, key))
    found = look(trained, look_key)
    values = np.asarray(found["values"])

    def draw(axes):
        most, end = np.abs(values).max(), target.bound
        options = {
            "cmap": few("RdBu", 24),
            "vmin": -most,
            "vmax": most,
            "interpolation": "bilinear",
        }
        axes.imshow(values, origin="lower", extent=(-end, end, -end, end), **options)
        axes.scatter(*np.asarray(found["x"]).T, s=2.5, c="black", alpha=0.6, linewidths=0)
        axes.set(xlim=(-end, end), ylim=(-end, end))

    return {"modes of 8": found["modes"]}, draw


def of_disentangled(config: Config, key: Key) -> tuple:
    """The five numbers of a code that vary most, from -2 to 2."""
    shapes = datasets.load_factored("shapes")
    x = jnp.asarray(shapes.x.reshape(-1, 256))
    encoder = nets.mlp(256, 12, hidden=(128, 128), activation=jax.nn.relu)
    decoder = nets.mlp(6, 256, hidden=(128, 128), activation=jax.nn.relu)
    model = vae.vae(encoder, decoder, likelihoods.bernoulli(), 256, num_latents=6)

    def loss(params, key, x):
        return disentangled.tc_vae_loss(model, params, key, x, beta=6.0, num_data=len(shapes.x))

    descent = learning.gradient_descent(model.init, loss, optax.adam(1e-3))
    draw = lambda key, t: jax.random.choice(key, x, (64,), replace=False)
    params = learned(descent, key, draw, steps(config, 4000))
    codes = model.posterior(params, x).mean()
    score = metrics.mig(codes, shapes.factors).score
    rows = []
    for unit in jnp.argsort(-codes.std(0))[:5]:
        z = jnp.tile(codes[500], (5, 1)).at[:, unit].set(jnp.linspace(-2, 2, 5))
        rows.append(model.likelihood(params, z).mean().reshape(5, 16, 16))
    shown = np.concatenate(rows)
    return {"MIG": score}, lambda axes: images(axes, shown, 5)


def of_quantized(config: Config, key: Key) -> tuple:
    """Two rows of digits; codes in colours, alike where their vectors are."""
    rows, _ = digits()
    train, test = (jnp.asarray(rows[split].reshape(-1, 8, 8, 1)) for split in ("train", "test"))
    levels = likelihoods.discretized_logistic(17, num_components=3)
    quantiser = quantized.averaged_codebook(64, 16, revive=0.1)
    coder = quantized.vqvae(
        nets.map_encoder((8, 8, 1), 16, hidden=(32,), num_blocks=1),
        nets.map_decoder(16, (8, 8, 1), levels.num_params, hidden=(32,), num_blocks=1),
        levels,
        (8, 8, 1),
        quantiser,
    )

    def loss(params, key, x, *, state):
        return quantized.vqvae_loss(coder, params, key, x, state=state)

    descent = learning.gradient_descent(
        lambda key: coder.init(key)[0],
        loss,
        optax.adam(2e-3),
        init_state=lambda key, params: coder.init(key)[1],
    )
    draw = lambda key, t: jax.random.choice(key, train, (64,))
    params = learned(descent, key, draw, steps(config, 700))
    used = quantized.counts(coder.encode(*params, train), 64)
    codes = np.asarray(coder.encode(*params, test[:12]))
    both = {"coder": params, "prior": {}}
    rebuilt = quantized.with_prior(coder).likelihood(both, codes).mode()
    own, state = params
    vectors = np.asarray(quantiser.vectors(own["quantiser"], state, jnp.arange(64)))
    maps = colours_of(vectors)[codes.reshape(12, 4, 4)].repeat(2, 1).repeat(2, 2)
    grey = [np.repeat(np.asarray(a).reshape(12, 8, 8, 1) / 16, 3, -1) for a in (test[:12], rebuilt)]
    shown = np.stack([grey[0], maps, grey[1]]).reshape(3, 2, 6, 8, 8, 3).swapaxes(0, 1)
    shown = shown.reshape(-1, 8, 8, 3)
    perplexity = quantized.perplexity(used)
    return {"perplexity of 64 codes": perplexity}, lambda axes: images(axes, shown, 6)


def colours_of(vectors: np.ndarray) -> np.ndarray:
    """Vectors [K, d] as colours [K, 3]: their three main directions, each by its ranks."""
    centred = vectors - vectors.mean(0)
    main = centred @ np.linalg.svd(centred, full_matrices=False)[2][:3].T
    ranks = main.argsort(0).argsort(0) / (len(vectors) - 1)
    return 0.15 + 0.8 * ranks


WEIGHTS, MEANS, SCALE = np.array([0.5, 0.2, 0.3]), np.array([-1.6, 0.3, 1.7]), 0.18


def of_diffusion(config: Config, key: Key) -> tuple:
    """p_t of a mixture on the line, exact, from noise at the left to data at the right."""
    process = diffusion.linear_log_snr(most=7.0, least=-5.0)
    model = diffusion.denoiser(nets.time_mlp(1), (1,), process, target="v")
    train_key, start_key = jax.random.split(key)

    def draw(key, t):
        which_key, noise_key = jax.random.split(key)
        which = jax.random.choice(which_key, 3, (256,), p=WEIGHTS)
        return jnp.asarray(MEANS)[which][:, None] + SCALE * jax.random.normal(noise_key, (256, 1))

    descent = learning.gradient_descent(
        model.init,
        lambda params, key, x: diffusion.simple_loss(model, params, key, x),
        fitting.AdamW(2e-3, steps(config, 6000)).optimizer(),
        ema_decay=0.998,
    )
    params = learned(descent, train_key, draw, steps(config, 6000))
    times = jnp.linspace(*process.ends, 201)[::-1]

    @jax.jit
    def paths(params, x):
        """Steps of DDIM, which are those of the ODE: [times, n]."""

        def body(x, at):
            t, s = at
            found = model.predict(params, x, jnp.full(len(x), t))
            x = process.alpha(s) * found.data + process.sigma(s) * found.noise
            return x, x

        return jnp.concatenate([x[None], jax.lax.scan(body, x, (times[:-1], times[1:]))[1]])[..., 0]

    start = jax.scipy.special.ndtri((jnp.arange(1000) + 0.5) / 1000)[:, None]
    way = np.asarray(paths(params, start))
    cells = np.linspace(-3.2, 3.2, 300)
    alpha, sigma = (np.asarray(f(times))[:, None, None] for f in (process.alpha, process.sigma))
    spread = np.sqrt((alpha * SCALE) ** 2 + sigma**2)
    away = (cells[:, None] - alpha * MEANS) / spread
    p = (WEIGHTS * np.exp(-np.square(away) / 2) / spread).sum(-1)  # [times, cells]
    quantiles = np.interp(
        (np.arange(1000) + 0.5) / 1000, np.cumsum(p[-1]) / p[-1].sum(), cells
    )  # of the data
    off = np.abs(np.sort(way[-1]) - quantiles).mean()

    def picture(axes):
        shown = np.sqrt(p / p.max(1, keepdims=True)).T
        options = {"aspect": "auto", "cmap": few("magma", 40), "vmax": 1.2}  # paths are white
        axes.imshow(shown, origin="lower", extent=(0, 1, -3.2, 3.2), **options)
        along = np.linspace(0, 1, len(way))
        axes.plot(along, way[:, 20::60], color="white", lw=0.8, alpha=0.8)
        axes.set(xlim=(0, 1), ylim=(-3.2, 3.2))

    return {"distance of samples from data": off}, picture


PANELS = {  # chapter: what its panel shows, and what makes it
    "autoregressive": ("∏ p(xᵢ | x₁ … xᵢ₋₁), pixel by pixel", of_autoregressive),
    "flows": ("x = T(z): a grid of noise, bent", of_flows),
    "inference": ("EM: who explains which point", of_inference),
    "vae": ("E[x | z] over the plane of codes", of_vae),
    "gans": ("samples on the critic's values", of_gans),
    "disentangled": ("one number of the code in each row", of_disentangled),
    "quantized": ("digits, maps of codes, and back", of_quantized),
    "diffusion": ("noise becomes data along the ODE", of_diffusion),
}


# ------------------------------------------------------------------------------------ the picture
def images(axes: Axes, shown: np.ndarray, columns: int) -> None:
    """Images [n, h, w] or [n, h, w, 3] in [0, 1] as a grid."""
    shown = np.clip(np.asarray(shown, np.float64), 0, 1)
    shown = shown if shown.ndim == 4 else np.repeat(shown[..., None], 3, -1)
    axes.imshow(plots.tile(shown, columns), interpolation="nearest")


def poster(panels: dict[str, Callable]) -> Figure:
    """{chapter: draw(axes)} as two rows of square panels, each with its name and what it shows."""
    columns = -(-len(panels) // 2)
    side, gap, words, margin = 2.4, 0.16, 0.6, 0.06  # inches
    width, height = columns * (side + gap) - gap + 2 * margin, 2 * (side + words) + margin
    figure = plots.new_figure((width, height))
    for i, (name, draw) in enumerate(panels.items()):
        left = margin + i % columns * (side + gap)
        bottom = margin + (1 - i // columns) * (side + words)
        place = (left / width, bottom / height, side / width, side / height)
        axes = figure.add_axes(place)
        draw(axes)
        axes.set(xticks=[], yticks=[], box_aspect=1, anchor="N")
        plots.plain(axes, frame=False)
        title: dict[str, Any] = {"fontsize": 13, "weight": "bold", "color": plots.INK}
        caption: dict[str, Any] = {"fontsize": 9, "color": plots.QUIET}
        for above, text, style in ((0.27, name, title), (0.08, PANELS[name][0], caption)):
            figure.text(left / width, (bottom + side + above) / height, text, **style)
    return figure


def few(name: str, num: int) -> Any:
    """A colour map of so few colours that a palette of 256 holds those of all panels."""
    from matplotlib import colormaps

    return colormaps[name].resampled(num)


def in_few_colours(path: Path) -> None:
    """Saves the picture at `path` with a palette of 256 colours, in a quarter of the bytes."""
    from PIL import Image

    with Image.open(path) as picture:
        smaller = picture.convert("RGB").quantize(256, kmeans=3, dither=Image.Dither.NONE)
    smaller.save(path, optimize=True)


def main(config: Config) -> dict:
    checks.positive(config.share, "share")
    told, panels = {}, {}
    for number, (name, (_, make)) in enumerate(PANELS.items()):
        start = time.perf_counter()
        found, panels[name] = make(config, jax.random.fold_in(jax.random.key(config.seed), number))
        told[name] = {what: float(value) for what, value in found.items()}
        told[name]["seconds"] = time.perf_counter() - start
        print(f"{name}: {told[name]['seconds']:.0f} s")
    if processes.first():
        path = config.directory / "poster.png"
        plots.save(poster(panels), path)
        in_few_colours(path)
    return {"chapters": told}


def show(found: dict) -> None:
    rows = []
    for name, row in found["chapters"].items():
        (what, value), *_ = row.items()
        rows.append(
            {"chapter": name, "figure": f"{value:.3g}", "of": what, "s": f"{row['seconds']:.0f}"}
        )
    runs.table(rows, list(rows[0]))


if __name__ == "__main__":
    runs.experiment(Config, main, quick=QUICK, show=show, minutes=3)
