"""Training of a generator and a critic, as an `Algorithm`."""

import functools
from collections.abc import Callable

import optax

from .. import checks
from ..objectives import Game, critic_loss, generator_loss
from ..protocol import Adversarial, Algorithm, Array
from .descent import checked_decay
from .players import Player, alternate


@checks.spelled
def adversaries(
    model: Adversarial,
    game: Game,
    *,
    critic: optax.GradientTransformation,
    generator: optax.GradientTransformation,
    num_critic_updates: int = 1,
    penalty: Callable[..., Array] | None = None,
    penalty_weight: float = 1.0,
    ema_decay: float | None = None,
    axis_name: str | None = None,
) -> Algorithm:
    """φ ← φ - η ∇_φ L_D, k times, then θ ← θ - η ∇_θ L_G: one step of a game, as an `Algorithm`.

    L_D is the loss of the critic D_φ and L_G that of the generator G_θ.

    model: both nets, made by `combinators.adversarial`
    game: both losses, such as `objectives.wasserstein()`
    critic, generator: one optimiser of optax each. Adam with b1 = 0 or 0.5 is usual, with a
        learning rate of the critic two to five times that of the generator (Heusel et al., 2017)
    num_critic_updates: k. A batch holds the rows of k + 1 updates, x [(k + 1) n, ...] or (x, cond);
        other numbers of rows raise `ValueError`
    penalty, penalty_weight: R and λ of L_D + λ R, with R a function (critic, key, real, fake) ->
        scalar, such as `objectives.gradient_penalty` with λ = 10
    ema_decay: decay of an exponential moving average of the generator's parameters, which is then
        the one to sample with and improves samples much (Yazıcı et al., 2019). None: no average
    axis_name: of `jax.pmap`, over which gradients and statistics are averaged; None under `jit`

    Returns an `Algorithm`, for `learning.train` or `learning.fit`. `algorithm.params` selects
    (params, state), which `objectives.generated` takes. The algorithm is `alternate` with two
    players; write games with other losses in the same way:

        players = {"critic": Player(loss, optimizer, 5), "generator": Player(...)}
        alternate(players, lambda key: model.init(key)[0],
                  init_state=lambda key, params: model.init(key)[1])

    Metrics, means over the updates of a step: critic/loss, critic/real and critic/fake (its values
    at data and at samples), critic/penalty, generator/loss, generator/fake, and for both grad_norm
    and skipped. Goodfellow et al. (2014), "Generative adversarial nets", algorithm 1.
    """
    checks.noun(model, Adversarial, "model")
    checks.noun(game, Game, "game")
    if penalty is not None:
        checks.function(penalty, "penalty")
    penalty_weight = checks.not_negative(penalty_weight, "penalty_weight")
    num_critic_updates = checks.positive_int(num_critic_updates, "num_critic_updates")
    checked_decay(critic, None, "critic")
    ema_decay = checked_decay(generator, ema_decay, "generator")
    of_critic = functools.partial(critic_loss, penalty=penalty, penalty_weight=penalty_weight)
    players = {
        "critic": Player(_on_batches(of_critic, model, game), critic, num_critic_updates),
        "generator": Player(
            _on_batches(generator_loss, model, game), generator, ema_decay=ema_decay
        ),
    }
    return alternate(
        players,
        lambda key: model.init(key)[0],
        init_state=lambda key, params: model.init(key)[1],
        axis_name=axis_name,
    )


def _on_batches(loss, model, game):
    """loss(params, key, x or (x, cond), state=...) of a player."""

    def of_batch(params, key, batch, *, state):
        parts = batch if isinstance(batch, (tuple, list)) else (batch,)
        return loss(model, game, params, key, *parts, state=state)

    return of_batch
