"""VQ-VAE-2: maps of codes at several resolutions, the top, which is the smallest, first."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .. import checks
from ..distributions import Ancestral
from ..likelihoods import Conditional, as_numbers, factorised
from ..nets import conv_resnet, map_decoder, map_encoder
from ..protocol import Array, Density, Net, Shape, split
from .vq import Quantiser, check_codes
from .vqvae import Coded, Coder, coded, without_axis


@checks.spelled
def vqvae2(
    shape: tuple[int, int, int],
    likelihood: Conditional,
    quantisers: Sequence[Quantiser],
    *,
    halvings: Sequence[int] = (1, 2),
    hidden: int = 64,
    num_blocks: int = 1,
    dropout: float = 0.0,
) -> Coder:
    """c_l = codes of z_l = f_l(h_l, u_l), l = 1 (top), ..., L (bottom): codes at several scales.

    f_l and d_l are convolutional nets. The encoder goes up: h_L, ..., h_1 are maps of the image,
    each smaller than the one before. The decoder goes down: level l quantises z_l to vectors e_l,
    and u_{l+1} = d_l(e_l, u_l) enlarges what is known so far to the size of the next level; the top
    has no u_1. The last, d_L(e_L, u_L), are the parameters of p(x | c). So the top describes what
    is global, and the bottom the details.

    shape: (H, W, C) of x
    likelihood: p(x_i; f_i), the family of one entry, such as
        `likelihoods.discretized_logistic(256)`
    quantisers: of each level, top first; two or more
    halvings: of each level, top first: how often its map is halved from that below, and that of the
        bottom from x. With (1, 2) an image of 256×256 has maps of 32×32 and 64×64, as in the paper
    hidden: the channels of all maps h and u
    num_blocks: residual blocks of each halving or doubling
    dropout: the fraction of hidden units that is set to 0 if a key is given

    Returns a `Coder` with init(key) -> (params, state), encode(params, state, x) -> codes and
    decode(params, state, codes) -> p(x | c); codes are a tuple, top first, of integers [...,
    *code_shape[l]] in 0..num_codes[l] - 1. Train it by `vqvae_loss`; a prior is a `level_prior`.
    Parameters {"up", "features", "down", "quantisers"} and the state are lists over levels. Other
    numbers of quantisers and halvings raise `InputError`. Razavi, van den Oord and Vinyals (2019),
    "Generating diverse high-fidelity images with VQ-VAE-2".
    """
    shape = checks.image_shape(shape)
    checks.noun(likelihood, Conditional, "likelihood")
    quantisers, halvings = _checked(quantisers, halvings)
    hidden = checks.positive_int(hidden, "hidden")
    options: dict[str, Any] = {"num_blocks": num_blocks, "dropout": dropout}
    num = len(quantisers)
    sizes = _sizes(shape, halvings)  # of each level, top first
    seen = [(*size, hidden) for size in sizes[1:]] + [shape]  # what each level is halved from
    wide = lambda i: 0 if i == 0 else hidden  # u of the top has no numbers
    stages = [(hidden,) * k for k in halvings]
    up = [map_encoder(s, hidden, hidden=h, **options) for s, h in zip(seen, stages)]
    features = [
        conv_resnet((*size, hidden + wide(i)), q.dim, hidden=hidden, num_blocks=0, zero_last=False)
        for i, (size, q) in enumerate(zip(sizes, quantisers))
    ]
    makes = [hidden] * (num - 1) + [likelihood.outputs(shape[2])]
    down = [
        map_decoder(q.dim + wide(i), s, n, hidden=h, **options)
        for i, (q, s, n, h) in enumerate(zip(quantisers, seen, makes, stages))
    ]
    read = (*sizes[-1], quantisers[-1].dim + wide(num - 1))
    density = factorised(down[-1], likelihood, shape, cond_shape=read)

    nets = (tuple(each) for each in (up, features, down))
    net = _Levels(shape, likelihood, quantisers, tuple(sizes), *nets, density)
    return Coder(
        net.init,
        net.apply,
        net.encode,
        net.decode,
        tuple((*s, *(q.code_shape or (1,))) for s, q in zip(sizes, quantisers)),
        tuple(q.num_codes for q in quantisers),
        net.adapt if any(q.adapt for q in quantisers) else None,
    )


class _Levels(NamedTuple):
    """The nets of all levels, top first; `downwards` is written once, for all that is asked."""

    shape: Shape
    likelihood: Conditional
    quantisers: tuple[Quantiser, ...]
    sizes: tuple[Shape, ...]
    up: tuple[Net, ...]
    features: tuple[Net, ...]
    down: tuple[Net, ...]
    density: Density

    def init(self, key):
        checks.key(key)
        parts = {"up": self.up, "features": self.features, "down": self.down}
        *keys, key = jax.random.split(key, len(parts) + 1)
        params = {name: _init_each(nets, k) for (name, nets), k in zip(parts.items(), keys)}
        started, state = zip(*_init_each(self.quantisers, key))
        return params | {"quantisers": list(started)}, list(state)

    def upwards(self, params, x, key=None):
        """h of each level, top first."""
        h = as_numbers(x, self.shape, self.likelihood, jnp.result_type(float))
        maps = []
        for net, p, k in reversed([*zip(self.up, params["up"], split(key, len(self.up)))]):
            h = net.apply(p, h, key=k)
            maps.insert(0, h)
        return maps

    def downwards(self, params, vectors_of, key=None):
        """p(x | c); vectors_of(level, u) are the e of a level: quantised, or looked up."""
        u, keys = None, split(key, len(self.down))
        for i, (net, p, k) in enumerate(zip(self.down, params["down"], keys)):
            seen = _joined(vectors_of(i, u), u)
            if i < len(self.down) - 1:
                u = net.apply(p, seen, key=k)
        return self.density.dist(params["down"][-1], seen, key=keys[-1])

    def z(self, params, i, h, u):
        return self.features[i].apply(params["features"][i], _joined(h, u))

    def apply(self, params, state, x, *, train, key=None):
        up_key, down_key, *keys = split(key, 2 + len(self.down))
        maps, found, moved = self.upwards(params, x, up_key), [], []

        def quantised(i, u):
            at, z = (params["quantisers"][i], state[i]), self.z(params, i, maps[i], u)
            q, s = self.quantisers[i].apply(*at, z, train=train, key=keys[i])
            found.append(coded(None, q, self.sizes[i], self.quantisers[i]))
            moved.append(s)
            return q.vectors

        given = self.downwards(params, quantised, down_key)
        losses = (sum(getattr(q, name) for q in found) for name in Coded._fields[2:])
        return Coded(given, tuple(q.codes for q in found), *losses), moved

    def encode(self, params, state, x):
        return self.apply(params, state, x, train=False)[0].codes

    def decode(self, params, state, codes):
        codes = _each_level(codes, len(self.down))

        def looked_up(i, u):
            c = without_axis(codes[i], self.sizes[i], self.quantisers[i])
            return self.quantisers[i].vectors(params["quantisers"][i], state[i], c)

        return self.downwards(params, looked_up)

    def adapt(self, params, state, key, x):
        maps, keys = self.upwards(params, x), jax.random.split(key, len(self.down))
        adapted = []

        def started(i, u):
            at, z = (params["quantisers"][i], state[i]), self.z(params, i, maps[i], u)
            q = self.quantisers[i]
            adapted.append(q.adapt(*at, keys[i], z) if q.adapt else at)
            return q.apply(*adapted[-1], z, train=False)[0].vectors

        self.downwards(params, started)
        of_params, of_state = zip(*adapted)
        return params | {"quantisers": list(of_params)}, list(of_state)


def _init_each(nets, key):
    return [net.init(k) for net, k in zip(nets, jax.random.split(key, len(nets)))]


def _joined(h, u):
    """Two maps on one place; the top has no u."""
    return h if u is None else jnp.concatenate([h, u], -1)


@checks.spelled
def level_prior(
    coder: Coder,
    priors: Sequence[Density],
    *,
    embedding: int = 16,
    hidden: int = 32,
    num_blocks: int = 1,
) -> Density:
    """p(c) = p(c_1) p(c_2 | c_1) ... p(c_L | c_1, ..., c_{L-1}): a prior of codes, top level first.

    The condition of level l is a feature map of its size: each code above is replaced by a learned
    vector, repeated at all positions it covers, and residual convolutions follow.

    coder: a `vqvae2` of L levels
    priors: a density of each level, top first, of codes [*coder.code_shape[l]] below
        coder.num_codes[l]. The first has no condition, or one of the whole image, cond_shape=(m,),
        such as a one-hot class; the others have a map, cond_shape=(H_l, W_l, n_l), such as
        `autoregressive.gated_pixelcnn(coder.code_shape[1], categorical(...), cond_shape=...)`
    embedding: the size of the vector of a code
    hidden, num_blocks: channels and residual blocks of the convolutions

    The condition of the first prior is that of the result; all maps get it, too. Parameters
    {"priors", "maps"}, lists. log p is one pass of each prior, and a sample one unroll of each.
    Priors whose conditions do not fit raise `InputError`. Razavi et al. (2019), "Generating diverse
    high-fidelity images with VQ-VAE-2", section 3.2.
    """
    checks.noun(coder, Coder, "coder")
    num, cond_shape = _check_priors(coder, priors)
    embedding = checks.positive_int(embedding, "embedding")
    given, options = cond_shape or (0,), (embedding, hidden, num_blocks)
    maps = [_map_of(coder, i, priors[i].cond_shape, *given, *options) for i in range(1, num)]

    def init(key):
        checks.key(key)
        key, maps_key = jax.random.split(key)
        keys, maps_keys = jax.random.split(key, num), jax.random.split(maps_key, num)
        return {
            "priors": [p.init(k) for p, k in zip(priors, keys)],
            "maps": [net.init(k) for net, k in zip(maps, maps_keys)],
        }

    def dist(params, cond=None, *, key=None):
        batch_shape, keys = checks.condition(cond, cond_shape), split(key, num)

        def walk(choose, seen):
            codes, told = [], []
            for i, prior in enumerate(priors):
                of_level = cond
                if i:
                    of_level = maps[i - 1].apply(params["maps"][i - 1], tuple(codes), cond)
                given = prior.dist(params["priors"][i], of_level, key=keys[i])
                c, said = choose(given, seen[i])
                codes.append(c)
                told.append(said)
            return tuple(codes), tuple(told)

        return Ancestral(walk, num, batch_shape=batch_shape)

    return Density(init, dist, cond_shape=cond_shape)


def _map_of(coder, level, cond_shape, given, embedding, hidden, num_blocks) -> Net:
    """(c_1, ..., c_{l-1}) and `given` numbers -> the condition of level l: codes are embedded,
    enlarged, and looked around."""
    height, width, _ = coder.code_shape[level]
    above = list(zip(coder.code_shape[:level], coder.num_codes[:level]))
    channels = sum(shape[-1] for shape, _ in above) * embedding + given
    net = conv_resnet(
        (height, width, channels),
        cond_shape[-1],
        hidden=hidden,
        num_blocks=num_blocks,
        zero_last=False,
    )

    def init(key):
        key, *keys = jax.random.split(key, 1 + len(above))
        tables = [
            jax.random.normal(k, (shape[-1], num, embedding)) / math.sqrt(embedding)
            for k, (shape, num) in zip(keys, above)
        ]
        return {"tables": tables, "net": net.init(key)}

    def apply(params, codes, cond=None, key=None):
        parts = [_enlarged(t, c, (height, width)) for t, c in zip(params["tables"], codes)]
        if given:
            parts.append(jnp.asarray(cond, parts[0].dtype)[..., None, None, :])
        places = jnp.broadcast_shapes(*(part.shape[:-1] for part in parts))
        parts = [jnp.broadcast_to(part, (*places, part.shape[-1])) for part in parts]
        return net.apply(params["net"], jnp.concatenate(parts, -1), key=key)

    return Net(init, apply)


def _enlarged(table: Array, codes: Array, size: tuple[int, int]) -> Array:
    """Vectors of codes [..., h, w, parts] at each of H×W places, [..., H, W, parts · n]."""
    parts = [table[i][codes[..., i]] for i in range(len(table))]
    vectors = jnp.concatenate(parts, -1)
    rows, columns = (_covered_by(n, m) for n, m in zip(size, codes.shape[-3:-1]))
    return vectors[..., rows, :, :][..., columns, :]


def _covered_by(large: int, small: int) -> Array:
    """Which of `small` places covers each of `large`."""
    return jnp.arange(large) * small // large


def _sizes(shape, halvings) -> list[tuple[int, int]]:
    """(height, width) of each level, top first."""
    (height, width, _), found = shape, []
    for times in reversed(halvings):
        for _ in range(times):
            height, width = -(-height // 2), -(-width // 2)
        found.insert(0, (height, width))
    return found


def _each_level(codes, num):
    if not isinstance(codes, (tuple, list)) or len(codes) != num:
        raise checks.InputError(f"codes must be a tuple of {num} maps, top first.")
    for c in codes:
        check_codes(c)
    return codes


def _checked(quantisers, halvings):
    if not isinstance(quantisers, (tuple, list)) or len(quantisers) < 2:
        raise checks.InputError(
            "quantisers must be one for each level, two at least, top first; got "
            f"{checks.shown(quantisers)}. With one level it is a vqvae."
        )
    for i, quantiser in enumerate(quantisers):
        checks.noun(quantiser, Quantiser, f"quantisers[{i}]")
    halvings = checks.widths(halvings, "halvings", fewest=1)
    if len(halvings) != len(quantisers):
        raise checks.InputError(
            f"halvings must be as many as quantisers, {len(quantisers)}; got {halvings}."
        )
    return tuple(quantisers), halvings


def _check_priors(coder, priors):
    """How many levels there are, and the condition of the top."""
    num = len(coder.num_codes) if isinstance(coder.num_codes, tuple) else 1
    if not isinstance(priors, (tuple, list)) or len(priors) != num or num < 2:
        raise checks.InputError(
            f"priors must be one for each level of the coder, {num}, which a vqvae2 has; got "
            f"{checks.shown(priors)}."
        )
    for i, (prior, shape) in enumerate(zip(priors, coder.code_shape)):
        checks.noun(prior, Density, f"priors[{i}]")
        got = prior.cond_shape
        a_map = got is not None and tuple(got[:-1]) == shape[:2]
        fits = a_map if i else got is None or len(got) == 1
        if not fits:
            wanted = f"({shape[0]}, {shape[1]}, n), a map" if i else "None or (m,), of the whole"
            raise checks.InputError(f"priors[{i}] must have cond_shape {wanted}; got {got}.")
    return num, priors[0].cond_shape
