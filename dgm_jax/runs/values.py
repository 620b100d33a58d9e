"""Results as JSON files, written completely or not at all."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import checks


def write_json(path: Path | str, value: Any) -> None:
    """Writes `value` to a file as JSON, all or nothing: a reader never finds half of it.

    path: of the file, which is replaced if it exists
    value: dicts, lists, strings, numbers, None; arrays and array scalars become lists and numbers

    Raises `ValueError` for NaN and infinity and `TypeError` for what JSON cannot hold; both name
    the place within `value`.
    """
    path = checks.path(path, "path")
    text = json.dumps(plain(value, path.stem), indent=2, ensure_ascii=False) + "\n"
    half = path.with_name(path.name + ".tmp")
    with half.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(half, path)


def read_json(path: Path | str, remedy: str = "") -> dict[str, Any]:
    """The dict in a file of `write_json`.

    `InputError`, with the remedy, for a damaged file or one with other content; `PermissionError`
    for one that may not be read.
    """
    try:
        found = json.loads(
            Path(path).read_text(encoding="utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_no_number,
            parse_float=_finite,
        )
        json.dumps(found)
        if isinstance(found, dict):
            return found
        why = f"it holds a {type(found).__name__}"
    except RecursionError:
        why = "it is nested too deeply"
    except UnicodeDecodeError:
        why = "it is no text"
    except ValueError as error:
        why = " ".join(str(error).split())[:100]
    except PermissionError:
        raise
    except OSError as error:
        why = error.strerror
    raise checks.InputError(f"{path} is damaged ({why}). {remedy}".rstrip())


def _each_once(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise checks.InputError(f"{twice[:40]!r} stands there twice")
    return found


def _no_number(text):
    raise checks.InputError(f"{text} is no number")


def _finite(text):
    value = float(text)
    if not math.isfinite(value):
        raise checks.InputError(f"{text[:40]} is beyond a number's range")
    return value


def plain(value: Any, place: str) -> Any:
    """`value` as JSON values: dicts, lists, strings, numbers, None; `place` names it in errors."""
    if isinstance(value, Mapping):
        return {str(name): plain(inner, f"{place}/{name}") for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner, f"{place}/{i}") for i, inner in enumerate(value)]
    if hasattr(value, "tolist"):  # numpy and jax
        return plain(value.tolist(), place)
    if isinstance(value, float) and not math.isfinite(value):
        raise checks.InputError(
            f"{place} is {value}, which JSON cannot hold; give a finite number."
        )
    if isinstance(value, Path):
        return str(value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise checks.InputTypeError(f"{place} is a {type(value).__name__}, which JSON cannot hold.")


def leaves(value: Any, place: str = "") -> list[tuple[str, Any]]:
    """[("maf/nll", 1.5)] of {"maf": {"nll": 1.5}}."""
    if not isinstance(value, dict):
        return [(place, value)]
    return [
        leaf
        for name, inner in value.items()
        for leaf in leaves(inner, f"{place}/{name}" if place else name)
    ]
