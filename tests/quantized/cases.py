"""The latent variable models of this chapter that the contracts test: a name, and its maker."""

from dgm_jax.combinators import adversarial
from dgm_jax.distributions import standard_normal
from dgm_jax.likelihoods import bernoulli, categorical
from dgm_jax.nets import mlp
from dgm_jax.quantized import (
    averaged_codebook,
    categorical_vae,
    learned_codes,
    quantised_critic,
    relaxed,
)
from tests.contracts.cases import LatentCase
from tests.gans.cases import AdversarialCase, value_of


def of_categories(likelihood, num_params=1, **prior):
    """x [2] by two codes of three categories."""
    encoder, decoder = mlp(2, 6, hidden=(4,)), mlp(6, 2 * num_params, hidden=(4,))
    options = {"codes": 2, "num_categories": 3} | prior
    return categorical_vae(encoder, decoder, likelihood, 2, **options)


MODELS = {  # of which x alone is summed over
    "bits, categories": LatentCase(lambda: of_categories(bernoulli()), (2,), 2, None),
    "levels, categories, learned prior": LatentCase(
        lambda: of_categories(categorical(3), 3, prior=learned_codes(2, 3)),
        (2,),
        3,
        None,
        full=True,
    ),
    "bits, relaxed categories": LatentCase(
        lambda: relaxed(of_categories(bernoulli(), prior=learned_codes(2, 3)), 0.7), (2,), 2, None
    ),
}


def fqgan():
    trunk, head = mlp(3, 2, hidden=(4,)), value_of(mlp(2, 1, hidden=(4,)))
    critic = quantised_critic(trunk, averaged_codebook(5, 2), head)
    return adversarial(standard_normal(2), mlp(2, 3, hidden=(4,)), critic)


GAMES = {"fqgan": AdversarialCase(fqgan, (3,))}
