"""The distribution of T(z), with z from a base distribution."""

import distrax
import jax.numpy as jnp

from .. import checks
from ..protocol import Array, Shape
from .divergence import ESTIMATES, affine_map, columns, exact
from .drawn import Drawn


@exact
class Pushforward(Drawn, distrax.Transformed):
    """log p(x) = log p_z(T⁻¹(x)) + log|det J_{T⁻¹}(x)|, in nats.

    The distribution of x = T(z), z ~ p_z.

    distribution: p_z
    bijector: T, such as flow.bijector(params)
    batch_shape: the shape of the conditions on which T depends, () if there are none. Each
        condition has its own z, also if p_z is a single distribution

    distrax's own `Transformed` maps its bijectors over samples one by one; here they broadcast over
    batches, so that all samples go through T in the same matrix products. Cost: `log_prob` one
    inverse of T; `sample` and `sample_and_log_prob` one forward.

    In closed form there are `mean` for affine T, `variance` for affine T and a Gaussian base,
    `mode` and `entropy` for a T with constant log-determinant, such as additive couplings.
    Otherwise they raise an InputError, as divergences do (`divergence.kl_divergence`).
    """

    def __init__(
        self,
        distribution: distrax.Distribution,
        bijector: distrax.Bijector,
        *,
        batch_shape: Shape = (),
    ):
        checks.instance(distribution, distrax.Distribution, "distribution")
        checks.instance(bijector, distrax.Bijector, "bijector")
        batch_shape = checks.sample_shape(batch_shape, "batch_shape")
        if batch_shape:
            missing = len(batch_shape) - len(distribution.batch_shape)
            distribution = _Copies(distribution, batch_shape[: max(missing, 0)])
        super().__init__(distribution, bijector)

    dtype = distrax.Transformed.dtype  # is found with the shapes; that of `Drawn` traces a sample

    def log_prob(self, value: Array) -> Array:
        """log p(x) in nats, [...], of x [..., *event_shape], by one inverse of T.

        The axes [...] broadcast with the batch shape. Events of another shape raise InputError.
        """
        value_batch = jnp.shape(value)[: max(jnp.ndim(value) - self.bijector.event_ndims_out, 0)]
        checks.common_batch({"x": value_batch, "cond": tuple(self.distribution.batch_shape)})
        z, log_det = self.bijector.inverse_and_log_det(value)
        wanted = self.distribution.event_shape
        if z.shape[max(z.ndim - len(wanted), 0) :] != wanted:
            raise checks.InputError(
                f"base must be a density of what the flow makes of x, events of shape "
                f"{z.shape[z.ndim - self.bijector.event_ndims_in :]}; got one of {wanted}."
            )
        return self.distribution.log_prob(z) + log_det

    def mean(self) -> Array:
        """E[x] = T(E[z]), [*batch, *event], for affine T; any other raises InputError."""
        self._check(self.bijector.is_constant_jacobian, "mean", "T is not affine")
        return super().mean()

    def mode(self) -> Array:
        """The most likely x, T(mode of z), for T with constant log-determinant; else InputError."""
        self._check(self.bijector.is_constant_log_det, "mode", "the log-det of T varies")
        return super().mode()

    def entropy(self, input_hint: Array | None = None) -> Array:
        """H(z) + log|det J_T|, in nats, [*batch], for T with a constant log-determinant.

        Any other T raises InputError. `input_hint`, an example of z, is not needed.
        """
        constant = self.bijector.is_constant_log_det
        self._check(constant, "entropy", "the log-det of T varies")
        return super().entropy(input_hint)

    def variance(self) -> Array:
        """Var x_i = Σ_k (∂x_i/∂ε_k)², [*batch, *event], for affine T and a Gaussian z.

        Here z is itself an affine function of ε ~ N(0, I). The diagonal of the covariance. Anything
        else raises InputError.
        """
        found = affine_map(self)
        self._check(found is not None, "variance", "T is not affine, or z not Gaussian")
        assert found is not None
        value = (columns(found[0].forward, found[1])[1] ** 2).sum(0)
        return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))

    def _check(self, has_closed_form, what, why):
        if not has_closed_form:
            raise checks.InputError(
                f"{what} has no closed form here, as {why}. Estimate it: {ESTIMATES[what]}."
            )

    def _sample_n(self, key, n):
        return self.bijector.forward(self.distribution.sample(seed=key, sample_shape=(n,)))

    def _sample_n_and_log_prob(self, key, n):
        z, log_prob = self.distribution.sample_and_log_prob(seed=key, sample_shape=(n,))
        x, log_det = self.bijector.forward_and_log_det(z)
        return x, log_prob - log_det


@exact
class _Copies(distrax.Distribution):
    """A batch of independent copies of one distribution; a copy is scored as the one is."""

    def __init__(self, one, copies):
        super().__init__()
        self._one, self._copies = one, tuple(copies)

    @property
    def one(self):
        return self._one

    @property
    def event_shape(self) -> Shape:
        return self._one.event_shape

    @property
    def batch_shape(self) -> Shape:
        return (*self._copies, *self._one.batch_shape)

    @property
    def dtype(self) -> jnp.dtype:
        return self._one.dtype

    def log_prob(self, value: Array) -> Array:
        return self._one.log_prob(value)

    def entropy(self) -> Array:
        return jnp.broadcast_to(self._one.entropy(), self.batch_shape)

    def mean(self) -> Array:
        return self._of_each(self._one.mean())

    def mode(self) -> Array:
        return self._of_each(self._one.mode())

    def variance(self) -> Array:
        return self._of_each(self._one.variance())

    def _of_each(self, value):
        return jnp.broadcast_to(value, (*self.batch_shape, *self.event_shape))

    def _sample_n(self, key, n):
        return self._one.sample(seed=key, sample_shape=(n, *self._copies))

    def _sample_n_and_log_prob(self, key, n):
        return self._one.sample_and_log_prob(seed=key, sample_shape=(n, *self._copies))
