"""The cost of a computation: time, arithmetic, memory, and a description of the machine."""

from .flops import made_pass as made_pass
from .flops import products as products
from .machine import machine as machine
from .machine import num_cores as num_cores
from .timing import Timing as Timing
from .timing import compare as compare
from .timing import program as program
