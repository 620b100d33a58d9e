"""Small files in the formats of the published sets, as bytes."""

import struct


def idx(x) -> bytes:
    return bytes([0, 0, 8, x.ndim]) + struct.pack(f">{x.ndim}i", *x.shape) + x.tobytes()


def cifar_pickle(rows, labels) -> bytes:
    """The opcodes of the published files: protocol 2, byte strings of Python 2."""
    return (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        b"K\x00\x85U\x01b\x87R(K\x01K" + bytes([len(rows)]) + b"M\x00\x0c\x86"
        b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + struct.pack("<i", rows.nbytes) + rows.tobytes() + b"tb"
        b"U\x06labelsq\x03](" + b"".join(b"K" + bytes([label]) for label in labels) + b"eu."
    )
