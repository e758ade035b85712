"""Reads and writes IDX files, the plain binary arrays in which MNIST and its kin are published.

The format (LeCun, Cortes and Burges, "The MNIST database", at the end of the page): two zero bytes,
one byte for the element type, one byte for the number of dimensions, each dimension as a big-endian
32-bit number, then the elements, big-endian, the last dimension running fastest.
"""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

ELEMENT_TYPES: dict[int, np.dtype[Any]] = {
    0x08: np.dtype("u1"),
    0x09: np.dtype("i1"),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}
LARGEST = 4 * 2**30  # bytes; far above any set that is published as IDX
MOST_DIMENSIONS = 64  # NumPy's own limit
CHUNK = 2**20
GZIP_MAGIC = b"\x1f\x8b"
DEFLATE_BEST_RATIO = 1032  # two bits stand for 258 bytes at best (zlib's technical details)


def read_idx(path: str | os.PathLike[str], *, max_bytes: int = LARGEST) -> NDArray[Any]:
    """Read an IDX file, plain or gzip-compressed, as an array of this machine's byte order.

    Whether the file is compressed is seen from its first bytes, not from its name. The header is
    checked against the length of the file before memory is taken for the elements, and a compressed
    file is unpacked no further than one byte past what its header promises.

    Returns a new, writable array with the header's shape and dtype uint8, int8, int16, int32,
    float32 or float64.

    Raises DataError where the path is no readable file, the magic number or element type is
    unknown, the file is truncated or has trailing bytes, the gzip stream is corrupt, or the header
    asks for more than `max_bytes`.
    """
    return read_payload(
        path, max_bytes, f"pass max_bytes= to read_idx (it is {max_bytes:,}) if the file is right"
    )


def read_payload(
    path: str | os.PathLike[str],
    max_bytes: int,
    if_larger: str,
    watch: Callable[[bytes], object] | None = None,
) -> NDArray[Any]:
    """Read as `read_idx` does; `watch` sees all decompressed bytes, header included, in order.

    `max_bytes` bounds header and elements together; `if_larger` is the advice where they exceed it.
    """
    path = Path(path)
    try:
        if not path.is_file():
            what = "a folder" if path.is_dir() else "not there" if not path.exists() else "no file"
            raise DataError(f"{path} is {what}; expected an IDX file, plain or compressed by gzip")
        with path.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            compressed = raw.read(2) == GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _read_stream(path, raw, size, False, max_bytes, if_larger, watch)
            with gzip.GzipFile(fileobj=raw) as stream:
                return _read_stream(path, stream, size, True, max_bytes, if_larger, watch)
    except EOFError as error:
        raise DataError(
            f"{path} is truncated: its gzip stream stops before its end; get the file again"
        ) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is corrupt: gzip says {error}; get the file again") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def _read_stream(
    path: Path,
    stream: IO[bytes] | gzip.GzipFile,
    file_bytes: int,
    compressed: bool,
    max_bytes: int,
    if_larger: str,
    watch: Callable[[bytes], object] | None,
) -> NDArray[Any]:
    header, dtype, shape = _read_header(path, stream)
    promised = math.prod(shape) * dtype.itemsize
    described = f"{shape} of {dtype.newbyteorder('=')}, {promised:,} bytes"

    # Zeros are left out of this product: NumPy refuses (0, 2**32 - 1, 2**32 - 1), empty as it is.
    span = math.prod(max(n, 1) for n in shape) * dtype.itemsize + len(header)
    if span > max_bytes:
        raise DataError(
            f"{path}: its header asks for {described}; expected at most {max_bytes:,} bytes, "
            f"header included; {if_larger}"
        )
    held = file_bytes - len(header)
    most_held = file_bytes * DEFLATE_BEST_RATIO if compressed else held
    if promised > most_held:
        follow = f"at most {most_held:,} can" if compressed else f"only {held:,}"
        raise DataError(
            f"{path} is truncated: its header asks for {described}, but {follow} follow; "
            "get the file again"
        )
    if watch is not None:
        watch(header)

    # Growing by what truly arrives keeps a lying compressed file from taking memory it cannot fill.
    elements = bytearray()
    while len(elements) < promised:
        chunk = stream.read(min(CHUNK, promised - len(elements)))
        if not chunk:
            raise DataError(
                f"{path} is truncated: its header asks for {described}, but only {len(elements):,} "
                "follow; get the file again"
            )
        elements += chunk
        if watch is not None:
            watch(chunk)
    if stream.read(1):  # at the end of a gzip stream this is also what verifies its checksum
        extra = "more" if compressed else f"{held - promised:,} more"
        raise DataError(
            f"{path} has trailing bytes: its header asks for {described}, but {extra} follow; "
            "get the file again, or write it with write_idx"
        )
    array = np.frombuffer(elements, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _read_header(
    path: Path, stream: IO[bytes] | gzip.GzipFile
) -> tuple[bytes, np.dtype[Any], tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise DataError(
            f"{path} is truncated: it holds {len(magic)} bytes; expected a header of at least 4"
        )
    if magic[:2] != b"\0\0":
        raise DataError(
            f"{path} has the wrong magic number: it starts with {magic!r}; expected two zero "
            "bytes. It is no IDX file; check what was saved under this name"
        )
    code, dimensions = magic[2], magic[3]
    if code not in ELEMENT_TYPES:
        known = ", ".join(f"0x{c:02X} {d.newbyteorder('=')}" for c, d in ELEMENT_TYPES.items())
        raise DataError(
            f"{path} has the unknown element type 0x{code:02X} in its magic number {magic!r}; "
            f"expected one of {known}. Is it an IDX file?"
        )
    if dimensions > MOST_DIMENSIONS:
        raise DataError(
            f"{path} says it has {dimensions} dimensions; expected at most {MOST_DIMENSIONS}, "
            "NumPy's limit. Is it an IDX file?"
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path} is truncated: its header has {4 + len(sizes)} bytes; expected "
            f"{4 + 4 * dimensions} for {dimensions} dimensions; get the file again"
        )
    return magic + sizes, ELEMENT_TYPES[code], struct.unpack(f">{dimensions}I", sizes)


def write_idx(path: str | os.PathLike[str], array: ArrayLike) -> None:
    """Write an array as an IDX file, compressed if the name ends in `.gz`.

    The bytes depend on the array alone: a compressed file carries neither a name nor a time.

    Raises DataError for a dtype that IDX does not have (it has uint8, int8, int16, int32, float32
    and float64) or a dimension of 2**32 and above, and where the file cannot be written.
    """
    path = Path(path)
    array = np.asarray(array)
    codes = {dtype.newbyteorder("="): code for code, dtype in ELEMENT_TYPES.items()}
    code = codes.get(array.dtype.newbyteorder("="))
    if code is None:
        raise DataError(
            f"an IDX file cannot hold dtype {array.dtype}; expected one of "
            f"{', '.join(map(str, codes))}; convert first, for example array.astype(np.uint8)"
        )
    if any(n >= 2**32 for n in array.shape):
        raise DataError(f"an IDX file cannot hold shape {array.shape}: dimensions end at 2**32 - 1")
    header = struct.pack(f">2xBB{array.ndim}I", code, array.ndim, *array.shape)
    elements = array.astype(ELEMENT_TYPES[code], order="C", copy=False).tobytes()
    try:
        with path.open("wb") as raw:
            if path.suffix != ".gz":
                raw.write(header + elements)
                return
            with gzip.GzipFile("", "wb", 9, raw, mtime=0) as stream:
                stream.write(header + elements)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
