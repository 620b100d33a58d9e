"""How parameters move: gradient descent, the training loop, checkpoints, devices."""

from .checkpoints import Checkpoints as Checkpoints
from .checkpoints import load as load
from .gradient import TrainState as TrainState
from .gradient import averaged as averaged
from .gradient import gradient_descent as gradient_descent
