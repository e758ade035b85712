"""History: what was measured in each epoch, as a list of records and as columns."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from tinygrad_fm.train.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Record = dict[str, Any]

# Each number that fit records: its name, its heading in tables, and how a value is written.
COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "epoch": ("epoch", str),
    "train_loss": ("train loss", "{:.4f}".format),
    "train_accuracy": ("accuracy", "{:.2%}".format),
    "validation_loss": ("validation loss", "{:.4f}".format),
    "validation_accuracy": ("accuracy", "{:.2%}".format),
    "lr": ("lr", "{:g}".format),
    "seconds": ("seconds", "{:.2f}".format),
}
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_EXTRA = ("interrupted", "batch_losses")  # in a file's records beside the numbers
_SHOWN = 20  # records that print at once


class History:
    """One record for each whole epoch, in order.

        history[-1]["train_loss"]     # a record is a dictionary
        history["train_loss"]         # a column is a list, with None where a record lacks it
        history.columns               # all of them

    A record of `fit` holds `epoch` (from 1), `train_loss` and `train_accuracy` (means over the
    epoch's examples, each taken when its batch was learned from), `validation_loss` and
    `validation_accuracy` (after the epoch, where there is a validation set), `lr` (of the epoch's
    last update) and `seconds` (for learning and validation). Losses are in the units of the loss
    function; accuracies are shares, 0 to 1, and None where there are no classes.

    Attributes:
        interrupted: Ctrl-C ended the training; the epoch under way is not recorded.

    The loss of every single batch is in `batch_losses`, for moving averages and pictures.

    Raises:
        KeyError: a column that no record has. IndexError: a record that does not exist.
    """

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()):
        self._records: list[Record] = [dict(record) for record in records]
        self._batch_losses: list[list[float]] = [[] for _ in self._records]
        self.interrupted = False

    def append(self, record: Mapping[str, Any], batch_losses: Iterable[float] = ()) -> None:
        """Add the record of an epoch, and the losses of its batches."""
        self._records.append(dict(record))
        self._batch_losses.append(list(batch_losses))

    @property
    def batch_losses(self) -> list[float]:
        """The mean loss of each batch, when it was learned from, through all recorded epochs."""
        return [loss for epoch in self._batch_losses for loss in epoch]

    def shorten_last(self, count: int) -> None:
        """Of the last epoch's batch losses keep the means of `count` equal parts, if it has more.

        For epochs of very many batches: a checkpoint holds all losses, every time.
        """
        if self._batch_losses and len(self._batch_losses[-1]) > count:
            losses = self._batch_losses[-1]
            ends = [len(losses) * i // count for i in range(count + 1)]
            self._batch_losses[-1] = [
                math.fsum(losses[start:end]) / (end - start)
                for start, end in itertools.pairwise(ends)
            ]

    @property
    def columns(self) -> dict[str, list[Any]]:
        """Every column by name, as lists of one length."""
        names = dict.fromkeys(name for record in self._records for name in record)
        return {name: [record.get(name) for record in self._records] for name in names}

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, key: int) -> Record: ...
    @overload
    def __getitem__(self, key: slice) -> list[Record]: ...
    @overload
    def __getitem__(self, key: str) -> list[Any]: ...
    def __getitem__(self, key: int | slice | str) -> Any:
        if not isinstance(key, str):
            return self._records[key]
        columns = self.columns
        if key not in columns:
            raise KeyError(f"no column {key!r}; there are {', '.join(columns) or 'no records'}")
        return columns[key]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        mine = (self._records, self._batch_losses, self.interrupted)
        return mine == (other._records, other._batch_losses, other.interrupted)

    __hash__ = None  # type: ignore[assignment]  # it grows

    def plot(self, *, window: int | None = None, title: str = "") -> Figure:
        """Learning curves as a matplotlib Figure; see plots.learning_curves."""
        from tinygrad_fm import plots

        return plots.learning_curves(self, window=window, title=title)

    # ---- saving ----------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write JSON Lines: one record a line, in UTF-8; an existing file is replaced as a whole.

        JSON has no numbers for NaN and infinities: they are written as the strings "NaN",
        "Infinity" and "-Infinity". A line ends with its epoch's "batch_losses", and the last one of
        an interrupted history with "interrupted".

        Raises:
            OSError: the folder is missing or may not be written.
            TypeError: a record holds something that JSON does not.
        """
        records = self.to_json()
        if self.interrupted and records:
            records[-1]["interrupted"] = True
        text = "".join(json.dumps(record, allow_nan=False) + "\n" for record in records)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        return Path(path)

    def to_json(self) -> list[Record]:
        """The records with values that JSON has, each with its "batch_losses" if there are any."""
        records = []
        for record, losses in zip(self._records, self._batch_losses, strict=True):
            values = {k: _to_json(v) for k, v in record.items()}
            if losses:
                values["batch_losses"] = [_to_json(loss) for loss in losses]
            records.append(values)
        return records

    def append_json(self, values: Mapping[str, Any]) -> None:
        """Add a record as `to_json` gives it."""
        record = {k: _from_json(v) for k, v in values.items() if k not in _EXTRA}
        self.append(record, [_from_json(v) for v in values.get("batch_losses", ())])
        self.interrupted = bool(values.get("interrupted", False))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read what `save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: a line that is no record.
        """
        history = cls()
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}, is no JSON: {line[:60]!r}") from error
            if not isinstance(record, dict):
                raise ValueError(f"{path}, line {number}, is no record {{...}}: {line[:60]!r}")
            history.append_json(record)
        return history

    # ---- printing --------------------------------------------------------------------------------

    def __repr__(self) -> str:
        ended = ", interrupted" if self.interrupted else ""
        title = f"History of {len(self)} epoch{'' if len(self) == 1 else 's'}{ended}"
        if not self._records:
            return title
        columns = self.columns
        shown = [name for name in {**COLUMNS, **columns} if _any_value(columns.get(name, ()))]
        rows = [[COLUMNS[n][0] if n in COLUMNS else n for n in shown]]
        rows += [[_cell(name, columns[name][i]) for name in shown] for i in range(len(self))]
        widths = [max(len(row[i]) for row in rows) for i in range(len(shown))]
        lines = ["  ".join(f"{c:>{w}}" for c, w in zip(r, widths, strict=True)) for r in rows]
        if len(self) > _SHOWN:
            half = _SHOWN // 2
            left_out = f"... {len(self) - 2 * half} more ..."
            lines[1 + half : len(lines) - half] = [left_out.center(len(lines[0])).rstrip()]
        return "\n".join([title, *lines])


def _any_value(column: Iterable[Any]) -> bool:
    return any(value is not None for value in column)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return "-"
    if name in COLUMNS:
        return COLUMNS[name][1](value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _to_json(value: Any) -> Any:
    if hasattr(value, "item"):  # a NumPy number
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _from_json(value: Any) -> Any:
    return _WORDS.get(value, value) if isinstance(value, str) else value
