"""Why data alone cannot decide which codes are disentangled.

Let z have independent entries with a density. There is a bijection f of codes with f(z) ~ p(z), in
which every output depends on every entry of z. The model with codes f(z) has the same p(x) as the
one with codes z: nothing that is computed from x alone can distinguish them. What favours one of
them is the form of the model, its training and the data set, and labels are needed to see which.
Locatello et al. (2019), "Challenging common assumptions in the unsupervised learning of
disentangled representations", theorem 1.
"""

import distrax
import numpy as np

from .. import checks
from ..bijectors import NormalLogitCDF, Orthogonal
from ..distributions import Pushforward
from ..protocol import Array, LatentVariable


def entangling(matrix: Array, to_logistic: distrax.Bijector | None = None) -> distrax.Bijector:
    """f = g⁻¹ ∘ h⁻¹ ∘ A ∘ h ∘ g: f(z) ~ p(z) = ∏_i p(z_i), with ∂f_i/∂z_j ≠ 0 for all i and j.

    g_i(v) = P(z_i <= v) makes each entry uniform, and h = Φ⁻¹, the quantile function of N(0, 1),
    makes it Gaussian; a rotation A mixes all entries and leaves N(0, I) invariant; h⁻¹ and g⁻¹
    invert the first two maps.

    matrix: A [d, d], orthogonal without zeros, else `InputError`, such as `bijectors.householder`
        of random vectors. In two dimensions [[1, -1], [1, 1]] / √2 mixes both entries equally
    to_logistic: logit g, each entry's distribution function on the logit scale, which is precise in
        the tails: z_i becomes a standard logistic variable. None for p(z) = N(0, I), where f = A;
        `bijectors.MixtureLogisticCDF` for mixtures, `distrax.Inverse(distrax.Sigmoid())` for z
        uniform on (0, 1). A bijector of numbers, or of vectors entry by entry
    """
    checks.floating(matrix, "matrix", (None, None))
    if checks.readable(matrix) and (np.asarray(matrix) == 0).any():
        raise checks.InputError(
            "matrix must have no entry 0, for every entry of f(z) to depend on every one of z."
        )
    mix = Orthogonal(matrix)
    if to_logistic is None:
        return mix
    checks.instance(to_logistic, distrax.Bijector, "to_logistic")
    scalar = to_logistic.event_ndims_in == 0
    to_normal = distrax.Chain(
        [
            distrax.Inverse(distrax.Block(NormalLogitCDF(), 1)),
            distrax.Block(to_logistic, 1) if scalar else to_logistic,
        ]
    )
    return distrax.Chain([distrax.Inverse(to_normal), mix, to_normal])


def entangled(model: LatentVariable, bijector: distrax.Bijector) -> LatentVariable:
    """The model with codes f(z): p(z) p(x | f⁻¹(z)) and q(f⁻¹(z) | x) |det ∂f⁻¹/∂z|.

    model: with one z per row, such as `vae.vae`; one with `infer`, such as a hierarchy, raises
        `InputError`
    bijector: f, such as `entangling`, which must leave the prior invariant; this is not checked

    Returns a model with the same parameters and the same p(x); for the same key its ELBO of every x
    is the same up to rounding. If f is affine, as for a Gaussian prior, q is a Gaussian with
    correlated entries. Locatello et al. (2019), "Challenging common assumptions in the unsupervised
    learning of disentangled representations", theorem 1.
    """
    checks.noun(model, LatentVariable, "model")
    checks.instance(bijector, distrax.Bijector, "bijector")
    if model.infer is not None:
        raise checks.InputError(
            "model must have one group of codes z, and no `infer` of its own, as a hierarchy has."
        )

    def likelihood(params, z, cond=None, *, key=None):
        return model.likelihood(params, bijector.inverse(z), cond, key=key)

    def posterior(params, x, cond=None, *, key=None):
        return Pushforward(model.posterior(params, x, cond, key=key), bijector)

    return model._replace(likelihood=likelihood, posterior=posterior)
