"""How parameters move: gradient descent, the training loop, checkpoints, devices.

    in one call     fit_to_data, from an array to a density with its parameters
    algorithms      gradient_descent, alternate and adversaries (players in turn),
                    expectation_maximization, langevin
    loops           fit, inside of jit; train, which can be stopped and resumed
    on disk         save, load, Checkpoints, Recipe
    devices         over_devices to sample and score; training_mesh, data_mesh, shard_batch
    optimisers      adam, packed, averaged, clip_weights

An algorithm is a pair of pure functions (init, step), so that each runs in both loops.
"""

from .adam import adam as adam
from .adversaries import adversaries as adversaries
from .checkpoints import Checkpoints as Checkpoints
from .checkpoints import NoUsableCheckpoint as NoUsableCheckpoint
from .constraints import clip_weights as clip_weights
from .constraints import historical_averaging as historical_averaging
from .descent import TrainState as TrainState
from .descent import averaged as averaged
from .devices import data_mesh as data_mesh
from .devices import over_devices as over_devices
from .devices import replicate as replicate
from .devices import shard_batch as shard_batch
from .devices import training_mesh as training_mesh
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
from .packing import packed as packed
from .players import Player as Player
from .players import PlayersState as PlayersState
from .players import alternate as alternate
from .recipes import Recipe as Recipe
from .rows import Diverged as Diverged
from .run import Trained as Trained
