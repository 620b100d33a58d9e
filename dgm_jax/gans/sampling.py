"""Sampling from a trained generator: truncated latents, and standing statistics of batch norms."""

import distrax
import jax
from jax.scipy.stats import truncnorm

from .. import checks
from ..nets.batch_norm import forgotten
from ..protocol import Adversarial, Array, Density, Key, Params, Shape, State

BOUND = 2.0  # deviations
MOST_BATCHES = 100  # that a batch norm averages evenly: 1 / (1 - its momentum)


def truncated(model: Adversarial, truncation: float) -> Adversarial:
    """x = G(ψ ε), ε ~ N(0, I) truncated to [-2, 2]: the model with a narrower prior, for sampling.

    A smaller ψ gives samples closer to the typical one, of higher quality and less variety: plot
    Fréchet distances, or precision and recall, over ψ.

    model: an `Adversarial` whose prior is `standard_normal`, trained with it; not changed
    truncation: ψ in [0, 1], else `InputError`. 1 cuts off the tails only; at 0 z = 0, one image
        (per class), and log p(z) does not exist

    Brock, Donahue and Simonyan (2019), "Large scale GAN training for high fidelity natural image
    synthesis", section 3.1.
    """
    checks.noun(model, Adversarial, "model")
    if not 0 <= checks.not_negative(truncation, "truncation") <= 1:
        raise checks.InputError(f"truncation must be from 0 to 1; got {truncation}.")
    shape = model.prior.dist({}).event_shape
    prior = Density(model.prior.init, lambda params, **_: TruncatedNormal(shape, truncation))
    return model._replace(prior=prior)


class TruncatedNormal(distrax.Distribution):
    """z = ψ ε with independent entries ε_i ~ N(0, 1), truncated to [-2, 2].

    shape: that of z; scale: ψ in [0, 1]
    """

    def __init__(self, shape: Shape, scale: float):
        super().__init__()
        self._shape, self._scale = tuple(shape), float(scale)

    event_shape = property(lambda self: self._shape)

    def _sample_n(self, key, n):
        return self._scale * jax.random.truncated_normal(key, -BOUND, BOUND, (n, *self._shape))

    def log_prob(self, value: Array) -> Array:
        """log p(z) in nats; for ψ = 0, a point mass, there is none."""
        axes = tuple(range(-len(self._shape), 0))
        return truncnorm.logpdf(value, -BOUND, BOUND, scale=self._scale).sum(axes)


def standing_statistics(
    model: Adversarial,
    params: Params,
    state: State,
    key: Key,
    num: int,
    cond: Array | None = None,
    *,
    batch_size: int = 64,
) -> State:
    """1/B Σ_b (mean, variance) of each batch norm over B = num / batch_size batches of samples.

    Averaged weights need statistics of their own, because the running means in the state belong to
    the last weights. So the generator makes `num` samples in batches of batch_size, and the means
    and variances of each channel in these batches are averaged.

    model: with batch norms in its generator, such as an `sngan`
    params: {"generator": ..., "critic": ...}, with the weights of the generator from which samples
        will be drawn, such as averaged ones
    state: {"generator": ..., "critic": ...}, as training left it
    key: draws z, and what else is random in the generator
    num: a multiple of batch_size, and at most 100 batch_size, because of more batches the later
        ones would weigh more, as in the running means of training; others raise `InputError`
    cond: [num, *cond_shape] for a conditional model. Shuffle it, so that every batch has all
        classes: the statistics of a batch of one class are not those of the data

    Returns a state like `state` with the new statistics of the generator, whose singular vectors of
    spectral normalisation, if it has any, move on, too. The critic's state is unchanged. Cost: num
    samples. Brock et al. (2019), "Large scale GAN training for high fidelity natural image
    synthesis", section 3.
    """
    checks.noun(model, Adversarial, "model")
    checks.key(key)
    checks.mapping(state, "state")
    checks.parameters((params, state), model.init)
    num, batch_size = checks.positive_int(num, "num"), checks.positive_int(batch_size, "batch_size")
    if num % batch_size:
        raise checks.InputError(f"num must be a multiple of batch_size={batch_size}; got {num}.")
    batches = num // batch_size
    if batches > MOST_BATCHES:
        raise checks.InputError(
            f"num must be at most {MOST_BATCHES} times batch_size={batch_size}, or later batches "
            f"weigh more than earlier ones; got {num}. Use larger batches, or fewer samples."
        )
    checks.condition(cond, model.cond_shape)
    parts = () if cond is None else (cond.reshape(batches, batch_size, *cond.shape[1:]),)

    def step(settled, keys_and_cond):
        (z_key, noise_key), *seen = keys_and_cond
        z = model.prior.dist({}).sample(seed=z_key, sample_shape=batch_size)
        settled = model.generator.apply(
            params["generator"], settled, z, *seen, train=True, key=noise_key
        )[1]
        return settled, None

    keys = jax.random.split(key, (batches, 2))
    settled, _ = jax.lax.scan(step, forgotten(state["generator"]), (keys, *parts))
    return {**state, "generator": settled}
