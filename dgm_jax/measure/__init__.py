"""What a computation costs: time, arithmetic, memory, and the machine that it was measured on."""

from .flops import made_pass as made_pass
from .flops import products as products
from .machine import machine as machine
from .timing import Timing as Timing
from .timing import compare as compare
from .timing import program as program
