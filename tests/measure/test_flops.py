"""The count of a program's arithmetic, against formulas and against XLA where XLA can count."""

import jax
import jax.numpy as jnp
import pytest

from dgm_jax import flows
from dgm_jax.combinators import pushforward
from dgm_jax.distributions import standard_normal
from dgm_jax.measure import flops, timing


def test_products_inside_scans_count_once_a_turn():
    w, x = jnp.ones((5, 16, 16)), jnp.ones((8, 16))
    stack = jax.jit(lambda w, x: jax.lax.scan(lambda x, w: (x @ w, None), x, w)[0])
    assert flops.products(stack, w, x) == 5 * 2 * 8 * 16 * 16


def test_what_no_result_needs_is_not_counted():
    a = jnp.ones((8, 8))

    @jax.jit
    def two(a):
        return a @ a, a @ a @ a

    assert flops.products(lambda a: two(a)[0], a) == 2 * 8**3


def test_a_branch_counts_as_its_dearest_and_a_gradient_as_three_passes():
    a, x = jnp.ones((8, 8)), jnp.ones((4, 8))
    either = lambda a, x: jax.lax.cond(x[0, 0] > 0, lambda: x @ a, lambda: x @ a @ a)
    assert flops.products(either, a, x) == 2 * (2 * 4 * 8 * 8)
    loss = lambda a, b, x: jnp.sum((x @ a @ b) ** 2)
    both = flops.products(jax.grad(loss, argnums=(0, 1, 2)), a, a, x)
    assert both == 3 * flops.products(loss, a, a, x)


def test_a_convolution_is_a_product_for_each_output_tap_and_channel():
    """Padding included, and groups read their own channels only."""
    x, kernel, grouped = jnp.ones((2, 5, 7, 6)), jnp.ones((3, 2, 6, 4)), jnp.ones((3, 2, 2, 9))

    def conv(x, kernel, groups=1):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (1, 1),
            ((2, 0), (1, 0)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    outputs = 2 * 5 * 7 * 4
    assert flops.products(conv, x, kernel) == 2 * outputs * (3 * 2) * 6
    assert flops.products(lambda x, k: conv(x, k, 3), x, grouped) == 2 * 2 * 5 * 7 * 9 * (3 * 2) * 2
    xla = timing.flops(jax.jit(conv), x, kernel)  # which leaves out the zeros around the picture
    assert 0.7 < xla / flops.products(conv, x, kernel) <= 1


def test_a_while_loop_has_no_number():
    a = jnp.ones((4, 4))
    loop = lambda a: jax.lax.while_loop(lambda a: a[0, 0] < 9, lambda a: a @ a, a)
    assert flops.products(loop, a) is None


DENSE = {"density_blocks": 1, "activation": jax.nn.relu}  # no block of a matrix is left out


def density(make, dim, **options):
    """log p of one model, its parameters and a batch of 32."""
    model = pushforward(make(dim, **options), standard_normal(dim))
    params = jax.tree.map(
        lambda leaf: jnp.zeros(leaf.shape, leaf.dtype),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    return (lambda params, x: model.dist(params).log_prob(x)), params, jnp.zeros((32, dim))


@pytest.mark.parametrize("hidden", [(16,), (24, 40)])
def test_the_dense_pass_of_a_maf_is_its_formula_and_what_xla_counts(hidden):
    """XLA, which adds biases, activations and masks, on one layer written out."""
    call, params, x = density(flows.maf, 12, num_layers=1, hidden=hidden, unroll=True, **DENSE)
    formula = flops.made_pass(12, hidden, num_layers=1, batch=32)
    log_det = 2 * 32 * 12  # summed by a product with ones
    assert flops.products(call, params, x) == formula + log_det
    assert formula <= timing.flops(jax.jit(call), params, x) < 1.6 * formula


def test_layers_multiply_the_arithmetic_and_naive_inversion_the_passes():
    sizes = {"num_layers": 3, "hidden": (16, 16)}
    one_pass = flops.made_pass(7, (16, 16), num_layers=3, batch=32)
    log_det = 3 * 2 * 32 * 7  # summed by a product with ones
    assert flops.products(*density(flows.maf, 7, **sizes, **DENSE)) == one_pass + log_det
    naive = density(flows.iaf, 7, inverse="naive", **sizes, **DENSE)
    assert flops.products(*naive) == (7 + 1) * one_pass + log_det  # the last pass is for log τ'
    assert flops.products(*density(flows.iaf, 7, **sizes)) < 2 * one_pass
