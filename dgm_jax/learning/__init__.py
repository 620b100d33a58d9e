"""How parameters move: gradient descent, the training loop, checkpoints, devices."""

from .checkpoints import Checkpoints as Checkpoints
from .checkpoints import NoUsableCheckpoint as NoUsableCheckpoint
from .descent import TrainState as TrainState
from .descent import averaged as averaged
from .devices import data_mesh as data_mesh
from .devices import replicate as replicate
from .devices import shard_batch as shard_batch
from .expectation import expectation_maximization as expectation_maximization
from .fitting import FittedDensity as FittedDensity
from .fitting import fit_to_data as fit_to_data
from .gradient import gradient_descent as gradient_descent
from .identity import fingerprint as fingerprint
from .langevin import LangevinState as LangevinState
from .langevin import langevin as langevin
from .loading import Loaded as Loaded
from .loading import load as load
from .loading import save as save
from .loop import fit as fit
from .loop import train as train
from .players import Player as Player
from .players import PlayersState as PlayersState
from .players import alternate as alternate
from .recipes import Recipe as Recipe
from .rows import Diverged as Diverged
from .run import Trained as Trained
