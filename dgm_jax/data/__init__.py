"""Data: toy densities, readers of real data sets, batches, and preprocessing.

    toys            moons, rings, spirals, pinwheel, checkerboard, gaussians; ENERGIES
    real            load a set by its name (LOADERS), load_file or subset of your own
    factors         load_factored, with the factors of variation that made each picture
    preprocessing   standardize, dequantize, quantize, logit_map, mu_law_encode
    batches         of an array, in an order that a seed fixes

Nothing is downloaded: sets are read from a folder that you name, or ship with a dependency.
"""

from .batches import batches as batches
from .energies import ENERGIES as ENERGIES
from .factors import FACTORED as FACTORED
from .factors import Factored as Factored
from .factors import load_factored as load_factored
from .preprocessing import dequantize as dequantize
from .preprocessing import logit_map as logit_map
from .preprocessing import mu_law_decode as mu_law_decode
from .preprocessing import mu_law_encode as mu_law_encode
from .preprocessing import quantize as quantize
from .preprocessing import standardize as standardize
from .readers import LOADERS as LOADERS
from .readers import Dataset as Dataset
from .readers import load as load
from .readers import load_file as load_file
from .readers import subset as subset
from .toy import TOYS as TOYS
from .toy import Toy as Toy
from .toy import checkerboard as checkerboard
from .toy import gaussians as gaussians
from .toy import moons as moons
from .toy import pinwheel as pinwheel
from .toy import rings as rings
from .toy import spirals as spirals
