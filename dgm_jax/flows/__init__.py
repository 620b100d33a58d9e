from .autoregressive import autoregression as autoregression
from .autoregressive import iaf as iaf
from .autoregressive import maf as maf
from .coupling import coupling as coupling
from .coupling import realnvp as realnvp
