"""Reads images and labels from a CSV file of numbers, one example a line, as MNIST is passed on."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .errors import DataError
from .prepare import whole_number

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

LINES_AT_ONCE = 2000


def from_csv(
    path: str | os.PathLike[str],
    *,
    label: str | int = 0,
    header: bool | None = None,
    shape: tuple[int, ...] | None = None,
    dtype: DTypeLike = np.uint8,
    delimiter: str = ",",
    classes: int | None = None,
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Images and labels of a CSV file, plain or `.gz`: one example a line, one label column.

    `label` is the label's column, by its name in the header or by its number (from 0; -1 is the
    last). All other columns are pixels, in their order. `header` says whether the first line holds
    names; None takes it for names unless its label cell is a number. Empty lines are skipped.

    Labels are whole numbers from 0, below `classes` if that is given. With dtype uint8 pixels are
    whole numbers 0 to 255; pass `dtype=np.float32` for others.

    Returns (images, labels): images of `dtype`, (N, number of pixels) or (N, *shape) with `shape`,
    for example (28, 28); labels int64, (N,).

    Raises DataError, with line and column (both from 1, as editors show them), for a line of
    another length, what is no number, NaN or infinity, and a label or pixel out of range; also for
    a file that is not there or has no examples, a column that does not exist, and a shape that
    does not fit.
    """
    path = Path(path)
    dtype = np.dtype(dtype)
    if dtype != np.uint8 and dtype.kind != "f":
        raise DataError(f"from_csv() to {dtype}; expected np.uint8 or a floating dtype")
    if classes is not None:
        classes = whole_number(classes, "from_csv() classes", at_least=1)
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as stream:
            table = _Table(path, stream, label, header, delimiter, dtype, classes)
            parts = list(table.parts())
    except (OSError, EOFError) as error:
        raise DataError(
            f"{path} cannot be read: {getattr(error, 'strerror', '') or error}"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is no text in UTF-8: {error}; is it a CSV file?") from error
    if not parts:
        raise DataError(f"{path} has no examples; expected at least one line of numbers")
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts])
    if shape is not None:
        if math.prod(shape) != images.shape[1]:
            raise DataError(
                f"{path} has {images.shape[1]} pixels in a line; shape={shape} needs "
                f"{math.prod(shape)}"
            )
        images = images.reshape(len(images), *shape)
    return images, labels


class _Table:
    """The lines of an opened file, and what is known of its columns."""

    def __init__(
        self,
        path: Path,
        lines: Iterable[str],
        label: str | int,
        header: bool | None,
        delimiter: str,
        dtype: np.dtype[Any],
        classes: int | None,
    ) -> None:
        self.path, self.delimiter, self.dtype, self.classes = path, delimiter, dtype, classes
        numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
        first = next(numbered, None)
        if first is None:
            raise DataError(f"{path} is empty; expected a line of numbers for each example")
        cells = self._cells(first[1])
        self.width = len(cells)
        self.names: list[str] | None = None
        self.rest: Iterator[tuple[int, str]]
        self.label = self._label_column(label, cells, header)
        if header or (header is None and not _is_number(cells[self.label])):
            self.names = cells
            self.rest = numbered
        else:
            self.rest = chain([first], numbered)
        if self.width < 2:
            raise DataError(
                f"{path} has one column; expected a label and pixels, separated by {delimiter!r}"
            )

    def _cells(self, line: str) -> list[str]:
        return [cell.strip().strip('"') for cell in line.split(self.delimiter)]

    def _label_column(self, label: str | int, cells: list[str], header: bool | None) -> int:
        if isinstance(label, str):
            if header is not False and label in cells:
                return cells.index(label)
            shown = ", ".join(cells[:6]) + (", ..." if len(cells) > 6 else "")
            raise DataError(
                f"{self.path} has no column named {label!r} in its first line ({shown}); pass the "
                "name of the label's column, or its number, from 0"
            )
        number = int(label)
        if not -len(cells) <= number < len(cells):
            raise DataError(
                f"{self.path} has {len(cells)} columns; label={label} is none of them (0 is the "
                "first, -1 the last)"
            )
        return number % len(cells)

    def parts(self) -> Iterator[tuple[NDArray[Any], NDArray[np.int64]]]:
        """Images and labels, some lines at a time."""
        while lines := list(islice(self.rest, LINES_AT_ONCE)):
            try:
                table = np.loadtxt(
                    [line for _, line in lines],
                    delimiter=self.delimiter,
                    comments=None,
                    quotechar='"',
                    ndmin=2,
                )
            except ValueError:
                self._explain(lines)
            if table.shape != (len(lines), self.width):
                self._explain(lines)
            yield self._checked(table, lines)

    def _checked(
        self, table: NDArray[np.float64], lines: list[tuple[int, str]]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        labels, pixels = table[:, self.label], np.delete(table, self.label, axis=1)
        self._refuse(~np.isfinite(table), table, lines, "a finite number")
        above = np.inf if self.classes is None else self.classes
        wrong = np.zeros(table.shape, bool)
        wrong[:, self.label] = (labels < 0) | (labels >= above) | (labels != np.floor(labels))
        top = "" if self.classes is None else f" to {self.classes - 1}"
        self._refuse(wrong, table, lines, f"a label: a whole number from 0{top}")
        if self.dtype == np.uint8:
            wrong = (table < 0) | (table > 255) | (table != np.floor(table))
            wrong[:, self.label] = False
            expected = "a pixel: a whole number 0 to 255 (pass dtype=np.float32 for others)"
        else:
            wrong = np.abs(table) > float(np.finfo(self.dtype).max)
            wrong[:, self.label] = False
            expected = f"a number that {self.dtype} can hold"
        self._refuse(wrong, table, lines, expected)
        return pixels.astype(self.dtype), labels.astype(np.int64)

    def _refuse(
        self,
        wrong: NDArray[np.bool_],
        table: NDArray[np.float64],
        lines: list[tuple[int, str]],
        expected: str,
    ) -> None:
        if wrong.any():
            row, column = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
            self._fail(lines[row][0], int(column), f"{table[row, column]:g}", expected)

    def _explain(self, lines: list[tuple[int, str]]) -> NoReturn:
        for number, line in lines:
            cells = self._cells(line)
            if len(cells) != self.width:
                raise DataError(
                    f"{self.path}, line {number}: {len(cells)} columns; expected {self.width}, as "
                    "in the first line"
                )
            for column, cell in enumerate(cells):
                if not _is_number(cell):
                    self._fail(number, column, repr(cell), "a number")
        raise DataError(f"{self.path}, line {lines[0][0]} or after: cannot be read as numbers")

    def _fail(self, line: int, column: int, found: str, expected: str) -> NoReturn:
        name = f" ({self.names[column]})" if self.names else ""
        raise DataError(
            f"{self.path}, line {line}, column {column + 1}{name}: {found}; expected {expected}"
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
