"""How parameters move: gradient descent, the training loop, checkpoints, devices."""

from .checkpoints import Checkpoints as Checkpoints
from .checkpoints import load as load
from .devices import data_mesh as data_mesh
from .devices import replicate as replicate
from .devices import shard_batch as shard_batch
from .gradient import TrainState as TrainState
from .gradient import averaged as averaged
from .gradient import gradient_descent as gradient_descent
from .loop import Diverged as Diverged
from .loop import Trained as Trained
from .loop import fit as fit
from .loop import train as train
