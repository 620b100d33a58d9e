"""What happens to files on disks: deleted, emptied, halved, a bit flipped, a sector zeroed."""

import numpy as np

WAYS = ("delete", "empty", "halve", "flip", "zero")


def damage(file, way: str, rng: np.random.Generator) -> None:
    content = bytearray(file.read_bytes())
    if way == "delete":
        file.unlink()
        return
    if way == "empty":
        content = b""
    elif way == "halve":
        content = content[: len(content) // 2]
    elif way == "flip" and content:
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    elif way == "zero" and content:
        start = rng.integers(max(1, len(content) - 512))
        content[start : start + 512] = bytes(len(content[start : start + 512]))
    file.write_bytes(content)


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())
