"""The latent variable models of this chapter that the contracts test: a name, and its maker."""

from dgm_jax.likelihoods import bernoulli, categorical
from dgm_jax.nets import mlp
from dgm_jax.quantized import categorical_vae, learned_codes, relaxed
from tests.contracts.cases import LatentCase


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
