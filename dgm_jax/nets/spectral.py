"""Spectral normalisation: weights divided by the largest singular value σ(W) = max ‖W x‖ / ‖x‖."""

import jax
import jax.numpy as jnp

from .. import checks
from ..arrays import wide
from ..protocol import Array
from .adapter import linen

TINY = 1e-12  # no norm is divided by less
AT_START = 20  # iterations on the first weights, so that the first step is normalised as well


def power_iteration(matrix: Array, u: Array, *, num_steps: int = 1) -> tuple[Array, Array]:
    """v ← W u / ‖W u‖, u ← Wᵀ v / ‖Wᵀ v‖, num_steps times; then σ̂ = vᵀ W u ≤ σ(W).

    An estimate of the spectral norm σ(W), the largest singular value; its v is that of the last u.

    matrix: W [m, n]
    u: [n], the start, such as a random vector or the u of the step before. It converges to the
        first right singular vector by a factor (σ_2 / σ_1)² per step, if it is not orthogonal to it
    num_steps: with 0, u stays as it is, and σ̂ = ‖W u‖ ≤ σ(W) if it has length 1
    Returns (σ̂, u). u and v are constants in the gradient: ∂σ̂/∂W = v uᵀ, which for singular
    vectors is the gradient of σ. Cost: 2 m n multiplications per step, and as many for σ̂. Miyato
    et al. (2018), "Spectral normalization for generative adversarial networks", algorithm 1.
    """
    num_steps = checks.positive_int(num_steps, "num_steps", least=0)
    checks.floating(matrix, "matrix", (None, None))
    checks.floating(u, "u", (matrix.shape[1],))
    fixed = jax.lax.stop_gradient(matrix)

    def step(_, u):
        return _unit(_unit(fixed @ u) @ fixed)

    u = jax.lax.stop_gradient(u)
    if num_steps == 1:
        u = step(0, u)
    elif num_steps:
        u = jax.lax.fori_loop(0, num_steps, step, u)
    v = _unit(fixed @ u)
    return v @ (matrix @ u), u


def operator_norm(kernel: Array, size: tuple[int, int]) -> Array:
    """max_ω σ(Σ_k w[k] e^{-i ω·k}): the spectral norm of a convolution with circular padding.

    The largest factor by which it stretches an image, in the Euclidean norm. A circular convolution
    is one matrix [in, out] for each frequency ω of the discrete Fourier transform, and its singular
    values are theirs; k runs over the positions in the kernel, and σ is the largest singular value.

    kernel: w [kh, kw, in, out]
    size: (H, W) of the images, at least (kh, kw), else InputError
    Returns one number. With zero padding instead the norm is at most that at size (H + kh - 1, W +
    kw - 1). Spectral normalisation uses σ of the kernel as a matrix [kh kw in, out]: the norm of
    the convolution is at most √(kh kw) times that, and can be smaller. Cost: H W singular value
    decompositions of in × out matrices. Sedghi, Gupta and Long (2019), "The singular values of
    convolutional layers".
    """
    checks.floating(kernel, "kernel", (None,) * 4)
    sizes = checks.shape(size, "size", "a height and a width such as (28, 28)")
    if len(sizes) != 2 or sizes[0] < kernel.shape[0] or sizes[1] < kernel.shape[1]:
        raise checks.InputError(
            f"size must be a height and a width of at least those of the kernel, "
            f"{kernel.shape[:2]}; got {sizes}."
        )
    if 0 in kernel.shape:
        raise checks.InputError(f"kernel must not be empty; got shape {kernel.shape}.")
    responses = jnp.fft.fft2(kernel.astype(wide(kernel)), sizes, axes=(0, 1))  # [H, W, in, out]
    return jnp.linalg.svd(responses, compute_uv=False)[..., 0].max()


def _unit(x):
    return x * jax.lax.rsqrt(jnp.maximum(jnp.vdot(x, x), TINY**2))


class SpectralNorm(linen.Module):
    """W / σ̂(W), with the vector u of `power_iteration` as state, in the collection "spectral".

    Weights [..., out] are read as a matrix: a kernel [kh, kw, in, out] as [kh kw in, out]. With
    train=True u moves by one iteration; with train=False it stays, so that evaluation changes
    nothing. The gradient passes through σ̂, which removes its component along W.
    """

    @linen.compact
    def __call__(self, weights, train):
        matrix = weights.reshape(-1, weights.shape[-1]).astype(wide(weights))
        state = self.variable("spectral", "u", lambda: self.first(matrix))
        moves = train and not self.is_initializing()
        sigma, u = power_iteration(matrix, state.value, num_steps=int(moves))
        if moves:
            state.value = u
        return (weights / jnp.maximum(sigma, TINY)).astype(weights.dtype)

    def first(self, matrix):
        u = _unit(jax.random.normal(self.make_rng("params"), matrix.shape[-1:], matrix.dtype))
        return power_iteration(matrix, u, num_steps=AT_START)[1]
