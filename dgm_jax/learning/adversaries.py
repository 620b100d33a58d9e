"""The training of a generator and a critic, as an `Algorithm`."""

import functools
from collections.abc import Callable

import optax

from .. import checks
from ..objectives import Game, critic_loss, generator_loss
from ..protocol import Adversarial, Algorithm, Array
from .descent import checked_decay
from .players import Player, alternate


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
    """φ ← φ - η ∇_φ L_D, k times, then θ ← θ - η ∇_θ L_G: a step of the game.

    critic, generator: an optimiser each; Adam with b1 = 0 or 0.5 is usual, and twice to five times
        the rate for the critic (Heusel et al., 2017).
    num_critic_updates: k. A batch has rows for k + 1 updates, x [(k + 1) n, ...] or (x, cond).
    penalty, penalty_weight: those of `objectives.critic_loss`.
    ema_decay: averages the generator's iterates, which makes samples much better (Yazıcı et al.,
        2019); samples are those of the average. None: the last.

    `algorithm.params` selects (params, state), what `objectives.generated` takes. It is
    `alternate` of two players; games with other losses write these themselves:

        players = {"critic": Player(loss, optimizer, 5), "generator": Player(...)}
        alternate(players, lambda key: model.init(key)[0],
                  init_state=lambda key, params: model.init(key)[1])

    Metrics: critic/loss, critic/real, critic/fake, critic/penalty, generator/loss, generator/fake.
    Goodfellow et al. (2014), algorithm 1.
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
