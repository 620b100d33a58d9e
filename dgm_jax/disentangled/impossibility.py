"""Why data alone cannot say which codes are disentangled.

Let z have independent entries, with a density. There is a bijection f of codes that leaves their
distribution as it is, f(z) ~ p(z), and whose every entry depends on every entry of z. The model
with the codes f(z) has the p(x) of the one with the codes z: nothing that is computed from x alone
tells the two apart. What favours one is the form of the model, its training and the data set, and
it takes labels to see which these favour.
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
    """f = g⁻¹ ∘ h⁻¹ ∘ A ∘ h ∘ g: f(z) ~ p(z) = ∏_i p(z_i), and ∂f_i/∂z_j is 0 for no i and j.

    g_i(v) = P(z_i <= v) makes each entry uniform, h = Φ⁻¹ Gaussian; a rotation A of N(0, I) mixes
    all of them and leaves N(0, I) as it is; h⁻¹ and g⁻¹ go back.
    matrix: A [d, d], orthogonal, no entry 0, such as `bijectors.householder` of random vectors.
        In two dimensions [[1, -1], [1, 1]] / √2 makes both entries tell as much of both.
    to_logistic: logit g, each entry's distribution function on the logit scale, where no tail
        rounds: z_i becomes a standard logistic variable. None for p(z) = N(0, I), where f = A;
        `bijectors.MixtureLogisticCDF` for mixtures, `distrax.Inverse(distrax.Sigmoid())` for z
        uniform on (0, 1). A bijector of numbers, or of vectors entry by entry.
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
    """The model with the codes f(z): p(z) p(x | f⁻¹(z)) and q(f⁻¹(z) | x) |det ∂f⁻¹/∂z|.

    bijector: f, such as `entangling`, under which the prior must be what it was. The parameters
    are those of the model, and for one key so is the ELBO, x by x, up to rounding; p(x) is the
    same. Where f is affine, as for a Gaussian prior, q is a Gaussian with correlated entries.
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
