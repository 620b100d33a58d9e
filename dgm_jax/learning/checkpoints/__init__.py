"""Checkpoints: trees of arrays on disk, written atomically and verified when read.

A checkpoint is a directory `<directory>/<step>` that appears by one rename, so a process that is
killed while writing leaves the older checkpoints intact. It holds a fingerprint of each array and a
checksum of the metadata. Arrays come back bit by bit, bfloat16 and typed keys included, on
whatever devices the template asks for. If the newest checkpoint is damaged, the one before it is
used.
"""

from .fingerprints import fingerprints as fingerprints
from .newest import NoUsableCheckpoint as NoUsableCheckpoint
from .reading import Saved as Saved
from .saving import Checkpoints as Checkpoints
from .saving import NotFinite as NotFinite
