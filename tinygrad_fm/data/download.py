"""Downloads a data set when asked to, verifies it, and leaves either whole files or nothing.

urllib, hashlib and tqdm are imported where they are used: most programs never download.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .errors import DataError
from .known import KnownDataset, KnownFile, look_up
from .places import destination as default_destination
from .places import locate
from .verify import read_checked

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from urllib.request import OpenerDirector, Request

TIMEOUT = 30.0  # seconds without a byte
CHUNK = 2**16


def fetch(name: str, destination: str | os.PathLike[str] | None = None) -> Path:
    """Download a data set's official files and return the folder they are in.

    `destination` is the folder for the files themselves; by default a folder of the set's name in
    `$TINYGRAD_FM_DATA` if that is set, otherwise in the user's cache, where `load` finds it. Files
    that are already there and right are kept.

    Only https is spoken, redirects included. Each file is written under a temporary name, held to
    its official size, its sha256 and that of its decompressed bytes where it is published, and
    renamed only then, so that neither a failure nor Ctrl-C leaves a partial file.

    Raises DataError for an unknown name, a set that is shipped with the library, a connection that
    fails, content that is not the official one, and a folder that cannot be written.
    """
    known = look_up(name)
    if known.shipped:
        raise DataError(
            f"{name} is shipped with tinygrad_fm, there is nothing to fetch; "
            f'write data.load("{name}")'
        )
    folder = default_destination(known, destination)
    if folder is None:
        raise DataError("this user has no home folder to keep data in; pass destination=")
    return _fetch_into(folder, known, known.mirrors, _https_opener())


def _fetch_into(
    folder: Path, known: KnownDataset, mirrors: tuple[str, ...], opener: OpenerDirector
) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in known.files:
            if not _already_there(folder, known, file):
                _fetch_file(folder, known, file, mirrors, opener)
    except OSError as error:  # what the network raised is a DataError by now
        raise DataError(
            f"cannot write to {folder}: {error.strerror or error}; make room there, or pass "
            "another folder as destination="
        ) from error
    return folder


def _already_there(folder: Path, known: KnownDataset, file: KnownFile) -> bool:
    path = locate(folder, file)
    if path is None:
        return False
    replaced = path.suffix == ".gz"  # by the download; any other file would hide it
    try:
        return read_checked(known, file, path).verified or not replaced
    except DataError:
        if replaced or path.suffix == ".npz":
            return False
        raise  # it is not ours to delete


def _fetch_file(
    folder: Path,
    known: KnownDataset,
    file: KnownFile,
    mirrors: tuple[str, ...],
    opener: OpenerDirector,
) -> None:
    problems = []
    for mirror in mirrors:
        url = f"{mirror}{file.name}.gz"
        try:
            _download(url, folder / f"{file.name}.gz", known, file, opener)
            return
        except DataError as problem:
            problems.append(f"    {problem}")
    raise DataError(
        f"{known.name}'s {file.name}.gz could not be fetched:\n"
        + "\n".join(problems)
        + f"\nCheck the network, or put the files into {folder} by hand"
    )


def _download(
    url: str, target: Path, known: KnownDataset, file: KnownFile, opener: OpenerDirector
) -> None:
    import secrets

    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as stream:
            _receive(url, stream, file, opener)
        read_checked(known, file, temporary)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # already renamed where all went well


def _receive(url: str, stream: IO[bytes], file: KnownFile, opener: OpenerDirector) -> None:
    import hashlib

    from tqdm import tqdm

    digest = hashlib.sha256()
    received = 0
    with tqdm(
        desc=f"{file.name}.gz",
        total=file.gz_bytes,
        unit="B",
        unit_scale=True,
        disable=None,  # no bar where the output is no terminal
    ) as bar:
        for chunk in _chunks(url, file.gz_bytes + 1, opener):
            received += len(chunk)
            if received > file.gz_bytes:
                raise DataError(f"{url} sends more than the expected {file.gz_bytes:,} bytes")
            stream.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
    if received < file.gz_bytes:
        raise DataError(f"{url} ended after {received:,} of {file.gz_bytes:,} bytes")
    if digest.hexdigest() != file.gz_sha256:
        raise DataError(
            f"{url} has sha256 {digest.hexdigest()}; expected {file.gz_sha256}: it is not the "
            "official file"
        )


def _chunks(url: str, at_most: int, opener: OpenerDirector) -> Iterator[bytes]:
    """The body, in pieces, and never more of it than `at_most` bytes; network errors as ours."""
    from http.client import HTTPException
    from urllib.error import HTTPError

    try:
        with opener.open(url, timeout=TIMEOUT) as response:
            while at_most > 0:
                chunk = response.read(min(CHUNK, at_most))
                if not chunk:
                    return
                at_most -= len(chunk)
                yield chunk
    except HTTPError as error:
        error.close()
        raise DataError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        raise DataError(f"{url} could not be read: {getattr(error, 'reason', error)}") from error


def _https_opener() -> OpenerDirector:
    """An opener without any handler but https and its proxies: http, ftp and file do not exist."""
    from urllib import request
    from urllib.parse import urlsplit

    class OnlyToHttps(request.HTTPRedirectHandler):
        def redirect_request(
            self,
            req: Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: HTTPMessage,
            newurl: str,
        ) -> Request | None:
            if urlsplit(newurl).scheme != "https":
                fp.close()
                raise DataError(
                    f"{req.full_url} redirects to {newurl}; refused: expected https, which keeps "
                    "others on the way from changing the file"
                )
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    opener = request.OpenerDirector()
    opener.addheaders = [("User-Agent", "tinygrad_fm")]
    for handler in (
        request.ProxyHandler(),
        request.HTTPSHandler(),
        request.UnknownHandler(),
        request.HTTPErrorProcessor(),
        request.HTTPDefaultErrorHandler(),
        OnlyToHttps(),
    ):
        opener.add_handler(handler)
    return opener
