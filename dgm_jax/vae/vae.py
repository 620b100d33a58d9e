"""The variational autoencoder: a decoder p(x | z) and an encoder q(z | x)."""

import jax
import jax.numpy as jnp

from .. import checks
from ..combinators import encoded, latent_variable
from ..distributions import standard_normal
from ..likelihoods import Conditional, as_numbers, factorised
from ..protocol import Density, LatentVariable, Net, Shape
from .posteriors import diagonal
from .seen import vector_cond


@checks.spelled
def vae(
    encoder: Net,
    decoder: Net,
    likelihood: Conditional,
    shape: int | Shape,
    *,
    num_latents: int,
    prior: Density | None = None,
    posterior: Density | None = None,
    cond_shape: Shape | None = None,
) -> LatentVariable:
    """p(x, z) = p(z) ∏_i p(x_i; f_i(z)), q(z | x) = q(z; g(x)): f is the decoder, g the encoder.

    encoder: g, from x [..., *shape] as real numbers to the parameters of the posterior, an array of
        shape `posterior.cond_shape`. It gets bits as 0 and 1, levels scaled to [-1, 1], and numbers
        as they are
    decoder: f, from z [..., num_latents] to the parameters of `likelihood` for each entry of x, as
        [..., *shape, num_params] or with its axes joined (`likelihoods.factorised`)
    likelihood: the family of one entry x_i, such as `likelihoods.bernoulli()`
    shape: of one x, a number d or a tuple. num_latents: n, the size of z
    prior: a density of z, by default `standard_normal(n)`
    posterior: a density of z whose condition is the output of the encoder, by default
        `diagonal(n)`, a Gaussian whose means and log-scales are 2 n numbers
    cond_shape: (n_c,) of a condition c, which encoder and decoder get concatenated to x and to z on
        the last axis, and so does a prior that takes a condition; None for none

        model = vae(
            mlp(784, 2 * 50, hidden=(200, 200)), mlp(50, 784, hidden=(200, 200)),
            likelihoods.bernoulli(), 784, num_latents=50)

    Parameters {"prior", "likelihood", "posterior"}, of which those of the likelihood are the
    decoder's and those of the posterior the encoder's; train them with `objectives.elbo`. Raises
    `ValueError` if a net has another output shape. Kingma and Welling (2014), "Auto-encoding
    variational Bayes"; Rezende et al. (2014), "Stochastic backpropagation".
    """
    for name, net in (("encoder", encoder), ("decoder", decoder)):
        checks.noun(net, Net, name)
    checks.noun(likelihood, Conditional, "likelihood")
    shape = checks.one_or_more(shape, "shape")
    num_latents = checks.positive_int(num_latents, "num_latents")
    cond_shape = vector_cond(cond_shape)
    reads = num_latents + (0 if cond_shape is None else cond_shape[0])
    _check_decoder(decoder, reads, likelihood, shape)
    return decoded_by(
        factorised(decoder, likelihood, shape, cond_shape=(reads,)),
        encoder,
        likelihood,
        shape,
        num_latents=num_latents,
        prior=prior,
        posterior=posterior,
        cond_shape=cond_shape,
    )


def decoded_by(
    density: Density,
    encoder: Net,
    likelihood: Conditional,
    shape: int | Shape,
    *,
    num_latents: int,
    prior: Density | None,
    posterior: Density | None,
    cond_shape: Shape | None,
) -> LatentVariable:
    """`vae` with any density p(x | z) whose condition is z, or z and c concatenated.

    encoder, likelihood, shape, num_latents, prior, posterior, cond_shape: as in `vae`.
    """
    checks.noun(encoder, Net, "encoder")
    checks.noun(likelihood, Conditional, "likelihood")
    shape = checks.one_or_more(shape, "shape")
    cond_shape = vector_cond(cond_shape)
    prior = standard_normal(num_latents) if prior is None else prior
    posterior = diagonal(num_latents) if posterior is None else posterior
    checks.noun(prior, Density, "prior")
    checks.noun(posterior, Density, "posterior")
    more = 0 if cond_shape is None else cond_shape[0]
    seen = (*shape[:-1], shape[-1] + more)
    _check_encoder(encoder, seen, posterior, num_latents)
    joint = latent_variable(
        prior, density, encoded(encoder, posterior, cond_shape=seen), cond_shape=cond_shape
    )

    def of_posterior(params, x, cond=None, *, key=None):
        dtype = jnp.result_type(float, *jax.tree.leaves(params["posterior"]))
        return joint.posterior(params, as_numbers(x, shape, likelihood, dtype), cond, key=key)

    model = joint._replace(posterior=of_posterior)
    _check_latents(model, shape, num_latents)
    return model


# ------------------------------------------------------ what does not fit, before it is compiled
def output_shape(net: Net, shape: Shape, name: str) -> Shape:
    """The output shape of a net for one input of this shape."""
    try:
        return jax.eval_shape(lambda key, x: net.apply(net.init(key), x), *_abstract(shape)).shape
    except Exception as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise checks.InputError(
            f"{name} does not take an input of shape {shape}: {said}"
        ) from error


def _abstract(shape):
    key = jax.eval_shape(lambda: jax.random.key(0))
    return key, jax.ShapeDtypeStruct(shape, jnp.result_type(float))


def _check_encoder(encoder, seen, posterior, num_latents):
    if posterior.cond_shape is None:
        raise checks.InputError(
            "posterior must be a density under the condition of what the encoder gives; got none. "
            "Such are vae.diagonal(n) and vae.flow_posterior(flow, vae.diagonal(n))."
        )
    got, wanted = output_shape(encoder, seen, "encoder"), tuple(posterior.cond_shape)
    if got != wanted:
        raise checks.InputError(
            f"encoder must give {wanted} for an x of shape {seen}, as the posterior of "
            f"num_latents={num_latents} takes it; got {got}."
        )


def _check_decoder(decoder, width, likelihood, shape):
    got = output_shape(decoder, (width,), "decoder")
    try:
        fake = Net(lambda key: {}, lambda params, z, key=None: jnp.zeros(got))
        factorised(fake, likelihood, shape, cond_shape=(width,)).dist({}, jnp.zeros(width))
    except checks.InputError as error:
        raise checks.InputError(f"decoder does not fit x of shape {shape}: {error}") from error


def _check_latents(model: LatentVariable, shape: Shape, num_latents: int) -> None:
    """Prior and posterior are of z [num_latents]."""
    found = {}

    def trace(key, x, cond):
        params = model.init(key)
        found["prior"] = model.prior(params, cond).event_shape
        found["posterior"] = model.posterior(params, x, cond).event_shape

    cond = None if model.cond_shape is None else _abstract(model.cond_shape)[1]
    jax.eval_shape(trace, *_abstract(shape), cond)
    for name, event_shape in found.items():
        if tuple(event_shape) != (num_latents,):
            raise checks.InputError(
                f"{name} must be a density of num_latents={num_latents} numbers; got events of "
                f"shape {tuple(event_shape)}."
            )
