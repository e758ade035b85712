"""Where the files of a data set may be: the folders to look in, in order, and what was found there.

Nothing here reads a file; finding is by name alone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple

from .known import KnownDataset, KnownFile

VARIABLE = "TINYGRAD_FM_DATA"
DEBIAN_FOLDER = Path("/usr/share/datasets")
SHIPPED_FOLDER = Path(__file__).parent / "mini"


class Place(NamedTuple):
    """A folder that may hold a data set, and in a few words why it was looked at."""

    folder: Path
    reason: str


def places(known: KnownDataset, root: str | os.PathLike[str] | None = None) -> list[Place]:
    """The folders to look in, the first first. An explicit `root` is the only place."""
    if root is not None:
        return _inside(known, Path(root), "root")
    if known.shipped:
        return [Place(SHIPPED_FOLDER, "shipped with tinygrad_fm")]
    found = []
    home = _home()
    if named := os.environ.get(VARIABLE):
        found += _inside(known, Path(named), f"${VARIABLE}")
    if cache := cache_folder():
        found.append(Place(cache / known.name, "the user's cache"))
    if known.debian_package:
        found.append(Place(DEBIAN_FOLDER / known.name, f"Debian's {known.debian_package}"))
    if known.torchvision_folder:
        for data in [Path("data"), *([home / "data"] if home else [])]:
            found.append(Place(data.absolute() / known.torchvision_folder, "torchvision"))
    if known.keras_folder and home:
        found.append(Place(home / ".keras" / "datasets" / known.keras_folder, "Keras"))
    return found


def _inside(known: KnownDataset, root: Path, reason: str) -> list[Place]:
    # The named folders come first: the folder itself may hold another set's files, as the names of
    # MNIST's files and Fashion-MNIST's are the same.
    root = _expanded(root)
    folders = [root / known.name, root]
    if known.torchvision_folder:
        folders.insert(1, root / known.torchvision_folder)
    return [Place(folder, reason) for folder in folders]


def destination(known: KnownDataset, given: str | os.PathLike[str] | None) -> Path | None:
    """The folder to download to: as given, in $TINYGRAD_FM_DATA, or in the user's cache."""
    if given is not None:
        return _expanded(Path(given))
    if named := os.environ.get(VARIABLE):
        return _expanded(Path(named)) / known.name
    cache = cache_folder()
    return cache / known.name if cache else None


def cache_folder() -> Path | None:
    """This library's folder in the user's cache, as the operating system places it."""
    home = _home()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        fallback = home / "AppData" / "Local" if home else None
    elif sys.platform == "darwin":
        base, fallback = None, home / "Library" / "Caches" if home else None
    else:
        base = os.environ.get("XDG_CACHE_HOME")
        fallback = home / ".cache" if home else None
    # The XDG specification has relative paths ignored.
    folder = Path(base) if base and Path(base).is_absolute() else fallback
    return folder / "tinygrad_fm" if folder else None


def locate(folder: Path, file: KnownFile) -> Path | None:
    """The file in that folder, plain before compressed before npz, or None."""
    for path in (folder / name for name in file.paths):
        try:
            if path.is_file():
                return path
        except OSError:  # a folder that may not be entered
            return None
    return None


def missing(folder: Path, known: KnownDataset, parts: str = "all") -> list[str]:
    """The names of the files that the folder lacks; empty where the parts are complete."""
    return [file.name for file in known.files_of(parts) if locate(folder, file) is None]


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:  # a user without a home, as in some containers
        return None


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        return path.absolute()
