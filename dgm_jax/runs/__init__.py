"""What surrounds a computation: command line, run directory, processes, exit codes. No models."""

from .builders import builder as builder
from .command_line import ReportOptions as ReportOptions
from .command_line import RunOptions as RunOptions
from .command_line import benchmark as benchmark
from .command_line import experiment as experiment
from .command_line import parse as parse
from .directory import keep as keep
from .locks import locked as locked
from .logs import tensorboard as tensorboard
from .memory import keep_memory as keep_memory
from .preemption import Preempted as Preempted
from .tables import short as short
from .tables import table as table
from .values import write_json as write_json
