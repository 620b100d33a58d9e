from .autoregressive import Autoregressive as Autoregressive
from .normal import standard_normal as standard_normal
from .pushforward import Pushforward as Pushforward
