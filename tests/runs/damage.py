"""Ways in which a file of JSON can be damaged."""

import os
import shutil

WHOLE = b'{"experiment": "a", "quick": false, "seed": 0, "hidden": [64, 64], "loss": 0.5}'


def _as(data):
    return lambda path: path.write_bytes(data)


FORMS = {
    "empty": _as(b""),
    "blank": _as(b" \n"),
    "cut": _as(WHOLE[:-9]),
    "cut in a string": _as(WHOLE[:8]),
    "cut in a letter": _as(WHOLE[:-1] + ', "é'.encode()[:-1]),
    "one more brace": _as(WHOLE + b"}"),
    "twice": _as(WHOLE + WHOLE),
    "zeros": _as(bytes(len(WHOLE))),
    "zeros at its end": _as(WHOLE + bytes(512)),
    "random": _as(bytes(range(255, -1, -1))),
    "another encoding": _as(WHOLE.decode().encode("utf-16")),
    "a mark of bytes": _as(b"\xef\xbb\xbf" + WHOLE),
    "a list": _as(b"[1, 2]"),
    "a number": _as(b"3"),
    "a string": _as(b'"a"'),
    "null": _as(b"null"),
    "true": _as(b"true"),
    "nan": _as(b'{"loss": NaN}'),
    "infinity": _as(b'{"loss": -Infinity}'),
    "beyond floats": _as(b'{"loss": 1e999}'),
    "a number of many digits": _as(b'{"loss": ' + b"9" * 10_000 + b"}"),
    "nested deeply": _as(b"[" * 100_000),
    "nested deeply and whole": _as(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "a name twice": _as(b'{"seed": 0, "seed": 1}'),
    "single quotes": _as(WHOLE.replace(b'"', b"'")),
    "a conflict of versions": _as(b"<<<<<<< ours\n" + WHOLE),
    "a directory": lambda path: path.mkdir(),
    "a full directory": lambda path: (path / "a").mkdir(parents=True),
    "a circle of links": lambda path: path.symlink_to(path.name),
}


def done(path, make):
    """Puts damage in the place of what is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    elif os.path.lexists(path):
        path.unlink()
    make(path)
