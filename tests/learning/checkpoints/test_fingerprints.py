import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dgm_jax.learning.checkpoints.fingerprints import fingerprints, inspected

MODULE = sys.modules[fingerprints.__module__]  # in the package the name is the function's
DTYPES = ("float32", "bfloat16", "float16", "int32", "int8", "uint8", "bool", "complex64", "uint32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fingerprint_sees_every_single_bit(dtype):
    x = np.asarray(jnp.arange(7) % 2 + 1).astype(jnp.dtype(dtype))
    flipped = [x]
    for place in range(8 * x.nbytes if dtype != "bool" else 0):
        content = bytearray(x.tobytes())
        content[place // 8] ^= 1 << place % 8
        flipped.append(np.frombuffer(bytes(content), x.dtype))
    if dtype == "bool":
        flipped += [x ^ (np.arange(7) == i) for i in range(7)]
    prints = fingerprints({str(i): jnp.asarray(y) for i, y in enumerate(flipped)})
    assert len(prints) > 7 and all(prints[str(i)] != prints["0"] for i in range(1, len(flipped)))


def test_the_fingerprint_sees_order_and_zeroed_sectors():
    ones = jnp.ones((32, 128))
    rows = jnp.arange(4096.0).reshape(32, 128)
    keys = [jax.random.key(0), jax.random.key(1)]
    tree = {
        "ones": ones,
        "sector": ones.at[4].set(0),
        "zeros": 0 * ones,
        "rows": rows,
        "swapped": rows[::-1],
        "key": keys[0],
        "other": keys[1],
    }
    prints = fingerprints(tree)
    assert len(set(prints.values())) == len(tree)


def test_the_fingerprint_is_that_of_any_layout():
    x = jax.random.normal(jax.random.key(0), (16, 24))
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    for spec in ((), ("a",), ("b", "a"), (None, ("a", "b"))):
        sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
        assert fingerprints({"x": jax.device_put(x, sharding)}) == fingerprints({"x": x})


@pytest.mark.parametrize("dtype", (*DTYPES, "int64", "float64", "key"))
def test_numpy_reads_what_the_program_computes(dtype, monkeypatch):
    with jax.enable_x64(dtype in ("int64", "float64")):
        draws = jax.random.normal(jax.random.key(0), (3, 4, 5))
        x = jax.random.split(jax.random.key(1), (2, 3)) if dtype == "key" else draws.astype(dtype)
        tree = {"x": x, "scalar": x.ravel()[0]}
        if jnp.issubdtype(x.dtype, jnp.inexact):
            tree["nan"] = x.at[1, 2, 3].set(jnp.nan)
        monkeypatch.setattr(MODULE, "_inspect", None)
        read = inspected(tree)
        monkeypatch.undo()
        monkeypatch.setattr(MODULE, "SMALL", 0)
        assert read == inspected(tree)
        assert {name for name, (_, finite) in read.items() if not finite} == {"nan"} & set(tree)
