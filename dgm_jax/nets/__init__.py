from .adapter import from_linen as from_linen
from .causal import naive as naive
from .dense import mlp as mlp
from .made import INVERSES as INVERSES
from .made import made as made
