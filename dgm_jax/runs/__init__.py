"""A run on a machine: its directory, its processes, its end. It knows no model."""

from .locks import locked as locked
from .logs import tensorboard as tensorboard
from .preemption import Preempted as Preempted
