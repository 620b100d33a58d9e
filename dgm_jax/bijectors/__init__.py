from .autoregressive import Autoregressive as Autoregressive
from .coupling import Coupling as Coupling
from .laws import Law as Law
from .laws import additive as additive
from .laws import affine as affine
from .permutation import Permutation as Permutation
from .scan import Scan as Scan
