"""Reads a file of a known data set, IDX or npz, and holds it to the published checksums."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .errors import DataError
from .idx import read_payload
from .known import KNOWN, KnownDataset, KnownFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

NPZ_KEY = "arr_0"
NPY_HEADER = 4096  # bytes; far above the header of a uint8 array


class Checked(NamedTuple):
    """An array that was read, and whether a published checksum vouches for it."""

    array: NDArray[Any]
    verified: bool


def read_checked(known: KnownDataset, file: KnownFile, path: Path) -> Checked:
    """Read a file that should be `file`, in any of its forms.

    It is verified if its payload (an npz array is written as IDX for that) has the official
    sha256. Where that is not published for the IDX form, it is also if the file is bit for bit the
    official archive: by the sha256 of the .gz, or the md5 of the .npz, for want of another.

    Raises DataError where the contents are not the official ones. Where this cannot be told - the
    payload's checksum is not published, and the file is plain or was compressed anew - its type
    and size are all that is checked, and `verified` is False.
    """
    import hashlib

    digest = hashlib.sha256()
    remedy = f"delete it and get it again{_fetch_hint(known)}"
    if path.suffix == ".npz":
        array = _read_npz(known, file, path, remedy)
        digest.update(struct.pack(f">2xBB{array.ndim}I", 0x08, array.ndim, *array.shape))
        digest.update(array.tobytes())
    else:
        array = read_payload(
            path,
            file.payload_bytes,
            f"it is not {known.name}'s {file.name}: {remedy}",
            digest.update,
        )
    found = digest.hexdigest()
    # A payload's checksum was taken from the IDX file, or where there is an npz, from that; whether
    # the two are equal is not known, so that the official archive counts as well then.
    archive_counts = file.npz_name or not file.payload_sha256
    if found == file.payload_sha256 or (archive_counts and _is_official_archive(file, path)):
        return Checked(array, True)
    owner = _owner(found)
    if owner or file.payload_sha256:
        expected = f"; expected {file.payload_sha256}" if file.payload_sha256 else ""
        raise DataError(
            f"{path} is not {known.name}'s {file.name}{owner}: its decompressed bytes "
            f"have sha256 {found}{expected}; {remedy}"
        )
    if array.dtype != np.uint8 or _payload_bytes(array) != file.payload_bytes:
        raise DataError(
            f"{path} is not {known.name}'s {file.name}: it holds {array.dtype} {array.shape}, "
            f"{_payload_bytes(array):,} bytes as IDX; expected uint8, {file.payload_bytes:,} "
            f"bytes; {remedy}"
        )
    return Checked(array, False)


def _is_official_archive(file: KnownFile, path: Path) -> bool:
    import hashlib

    if path.suffix == ".npz":
        official, digest = file.npz_md5, hashlib.md5(usedforsecurity=False)
    elif path.stat().st_size == file.gz_bytes:
        official, digest = file.gz_sha256, hashlib.sha256()
    else:
        return False
    digest.update(path.read_bytes())
    return digest.hexdigest() == official


def _read_npz(known: KnownDataset, file: KnownFile, path: Path, remedy: str) -> NDArray[Any]:
    """The one array; no more is unpacked than the official one has, and nothing is unpickled."""
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
            if f"{NPZ_KEY}.npy" not in members:
                raise DataError(
                    f"{path} holds {', '.join(members) or 'nothing'}; expected {NPZ_KEY}.npy. "
                    f"It is not {known.name}'s {file.npz_name}: {remedy}"
                )
            member = archive.getinfo(f"{NPZ_KEY}.npy")
            if member.file_size > file.payload_bytes + NPY_HEADER:
                raise DataError(
                    f"{path}: {NPZ_KEY} has {member.file_size:,} bytes; expected about "
                    f"{file.payload_bytes:,}. It is not {known.name}'s {file.npz_name}: {remedy}"
                )
            with archive.open(member) as stream:
                array = np.lib.format.read_array(stream, allow_pickle=False)
    except DataError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError) as error:
        raise DataError(f"{path} is corrupt: {error}; {remedy}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    return np.ascontiguousarray(array)


def _payload_bytes(array: NDArray[Any]) -> int:
    return 4 + 4 * array.ndim + array.nbytes


def _fetch_hint(known: KnownDataset) -> str:
    if known.shipped:
        return " by reinstalling tinygrad_fm"
    return f" with `tinygrad-fm data fetch {known.name}`"


def _owner(payload_sha256: str) -> str:
    for known in KNOWN.values():
        for file in known.files:
            if file.payload_sha256 == payload_sha256:
                return f" but {known.name}'s {file.name}"
    return ""
