"""Checkpoints: a tree of arrays on disk, whole or not at all, that know when they are damaged.

A checkpoint is a directory `<directory>/<step>` that appears by one rename, so a process killed
while writing leaves the older checkpoints as they were. Beside the arrays stand a fingerprint of
each of them and a checksum of all that is said about them. Arrays come back bit by bit, bfloat16
and typed keys included, on whatever devices the template asks for, or not at all: where the newest
checkpoint is damaged the one before it is taken.
"""

from .fingerprints import fingerprints as fingerprints
from .newest import NoUsableCheckpoint as NoUsableCheckpoint
from .reading import Saved as Saved
from .saving import Checkpoints as Checkpoints
from .saving import NotFinite as NotFinite
