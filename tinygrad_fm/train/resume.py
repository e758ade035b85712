"""Checkpoints: all that a training is made of in one file, from which it goes on bit for bit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tinygrad_fm.nn import Module, init
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.checkpoint import CHECKPOINT, MODEL, load_file
from tinygrad_fm.train.files import replacing
from tinygrad_fm.train.monitor import Monitor

LAST, BEST = "last.safetensors", "best.safetensors"
_RNG = (np.random.Generator, np.random.RandomState)


class Checkpoint(Callback):
    """Write checkpoints into a folder: `last.safetensors` and, if asked for, `best.safetensors`.

    A checkpoint holds weights and buffers, the optimizer's state, the history, the random
    generators of model and loader (and of the objects they hold, such as a transform of your own),
    and what the other callbacks count. `fit(...,
    resume_from=folder / "last.safetensors")`, with the same arguments otherwise, goes on from there
    and gives the same bits as a training that was never interrupted. `load_weights` reads a
    checkpoint as well. A file is replaced whole or not at all.

    Args:
        folder: is made if it is not there.
        every: epochs from one `last.safetensors` to the next; None writes none.
        best: the column whose best value so far makes a `best.safetensors`, such as
            "validation_loss"; None writes none.
        mode: "min" or "max"; None takes "max" for an accuracy and "min" for anything else.

    Raises:
        ValueError: nothing to write, or `every` below 1; in training, a column that is not there.
        TypeError (in training): the model is no Module, or the optimizer has no state_dict.
        OSError (in training): the folder may not be written.
    """

    last = True  # what other callbacks do after this epoch belongs into the file

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int | None = 1,
        best: str | None = None,
        mode: str | None = None,
    ):
        if every is None and best is None:
            raise ValueError("Checkpoint(every=None, best=None) would write nothing")
        if every is not None and every < 1:
            raise ValueError(f"Checkpoint: every is at least 1, not {every!r}")
        self.folder = Path(folder)
        self.every = every
        self.monitor = None if best is None else Monitor("Checkpoint", best, mode)

    def on_train_begin(self, state: TrainingState) -> None:
        """Check that there is something to keep, before an epoch is spent."""
        _checked(state)
        self.folder.mkdir(parents=True, exist_ok=True)

    def on_epoch_end(self, state: TrainingState) -> None:
        """Write what is due."""
        if self.monitor is not None and self._is_best(state, self.monitor):
            write_checkpoint(state, self.folder / BEST)
        if self.every is not None and state.epoch % self.every == 0:
            write_checkpoint(state, self.folder / LAST)

    def _is_best(self, state: TrainingState, monitor: Monitor) -> bool:
        best: float | None = None
        for record in state.history[:-1]:
            value = monitor.value(record)
            if monitor.better(value, best):
                best = value
        return monitor.better(monitor.value(state.record), best)


def write_checkpoint(state: TrainingState, path: str | os.PathLike[str]) -> None:
    """Write all that `restore` needs, at the end of an epoch.

    Raises:
        TypeError: the model is no Module, or the optimizer has no state_dict.
        OSError: the folder is missing or may not be written.
    """
    from safetensors.numpy import save

    _checked(state)
    arrays: dict[str, Any] = {f"{MODEL}{k}": v for k, v in state.model.state_dict().items()}
    facts = {
        "epoch": len(state.history),
        "step": state.step,
        "stop": state.stop,
        "optimizer": _packed(state.optimizer.state_dict(), "optimizer.", arrays),
        "callbacks": [
            [type(c).__name__, _packed(c.state_dict(), f"callbacks.{i}.", arrays)]
            for i, c in enumerate(_stateful(state))
        ],
        "generators": [[where, _state_of(rng)] for where, rng in _generators(state)],
        "loader_epoch": getattr(state.loader, "epoch", None),
        "history": state.history.to_json(),
    }
    # not np.ascontiguousarray, which makes a scalar parameter an array of one axis
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    content = save(arrays, {CHECKPOINT: json.dumps(facts)})
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def restore(state: TrainingState, path: str | os.PathLike[str]) -> None:
    """Bring a training to where it was when the checkpoint was written.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no checkpoint, or one of another model, optimizer, or list of callbacks;
            nothing is changed then.
    """
    _checked(state)
    arrays, metadata = load_file(path)
    if CHECKPOINT not in metadata:
        raise ValueError(
            f"{path} holds weights but is no checkpoint, so a training cannot go on from it; the "
            "callback Checkpoint writes them"
        )
    facts = json.loads(metadata[CHECKPOINT])
    stateful, generators = _stateful(state), list(_generators(state))
    for what, mine, theirs in (
        (
            "callbacks with state",
            [type(c).__name__ for c in stateful],
            [c for c, _ in facts["callbacks"]],
        ),
        ("random generators", [w for w, _ in generators], [w for w, _ in facts["generators"]]),
    ):
        if mine != theirs:
            raise ValueError(
                f"{path} was written by another training: its {what} are "
                f"{theirs or 'none'}, those of this one {mine or 'none'}"
            )
    before = state.model.state_dict()
    try:
        state.model.load_state_dict(
            {k.removeprefix(MODEL): v for k, v in arrays.items() if k.startswith(MODEL)}
        )
        try:
            state.optimizer.load_state_dict(_unpacked(facts["optimizer"], arrays))
        except Exception:
            state.model.load_state_dict(before)
            raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    for callback, (_, packed) in zip(stateful, facts["callbacks"], strict=True):
        callback.load_state_dict(_unpacked(packed, arrays))
    for (_, rng), (_, values) in zip(generators, facts["generators"], strict=True):
        _set_state(rng, values)
    if facts["loader_epoch"] is not None:
        state.loader.epoch = facts["loader_epoch"]
    for record in facts["history"]:
        state.history.append_json(record)
    state.epoch, state.step, state.stop = facts["epoch"], facts["step"], facts["stop"]


def _checked(state: TrainingState) -> None:
    if not isinstance(state.model, Module):
        raise TypeError(f"a checkpoint is of a Module, not of a {type(state.model).__name__}")
    if not hasattr(state.optimizer, "state_dict"):
        raise TypeError(
            f"the optimizer, a {type(state.optimizer).__name__}, has no state_dict() to keep"
        )


def _stateful(state: TrainingState) -> list[Any]:
    return [c for c in state.callbacks if hasattr(c, "state_dict")]


# --------------------------------------------------------------------------------------------------
# Values as JSON and arrays
# --------------------------------------------------------------------------------------------------


def _packed(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """The value for JSON, with its arrays put aside under names that begin with `name`."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {"array": name}
    if isinstance(value, dict):
        return {"dict": {k: _packed(v, f"{name}{k}.", arrays) for k, v in value.items()}}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_packed(v, f"{name}{i}.", arrays) for i, v in enumerate(value)]}
    return value.item() if isinstance(value, np.generic) else value


def _unpacked(value: Any, arrays: dict[str, Any]) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    if kind == "array":
        return arrays[content]
    if kind == "dict":
        return {k: _unpacked(v, arrays) for k, v in content.items()}
    made = [_unpacked(v, arrays) for v in content]
    return made if kind == "list" else tuple(made)


# --------------------------------------------------------------------------------------------------
# Random generators
# --------------------------------------------------------------------------------------------------


def _generators(state: TrainingState) -> Iterator[tuple[str, Any]]:
    """Every generator that model and loader hold, and the default one of `nn.init`.

    One that only a function sees, as a variable around it, is not found.
    """
    yield "nn.init", init.generator()
    searched: set[int] = set()
    for path, module in state.model.named_modules():
        yield from _held(f"model.{path}".rstrip("."), module, searched)
    if state.loader is not None and not isinstance(state.loader, (list, tuple)):
        yield from _held("loader", state.loader, searched)


def _held(where: str, found: Any, searched: set[int]) -> Iterator[tuple[str, Any]]:
    """The generators among an object's attributes, and in the objects that it holds."""
    searched.add(id(found))
    for name, value in vars(found).items() if hasattr(found, "__dict__") else ():
        each_of = [(0, value)]
        if isinstance(value, (list, tuple)):
            each_of = list(enumerate(value))
        elif isinstance(value, dict):
            each_of = list(value.items())
        for key, each in each_of:
            if isinstance(each, _RNG) or each is np.random:
                yield f"{where}.{name}", each
            elif (
                hasattr(each, "__dict__")
                and not isinstance(each, (Module, type, ModuleType))  # modules have their turn
                and id(each) not in searched
            ):
                yield from _held(f"{where}.{name}.{key}", each, searched)


def _state_of(rng: Any) -> Any:
    if isinstance(rng, np.random.Generator):
        values = rng.bit_generator.state
    else:  # a RandomState, or the module with its hidden one
        values = rng.get_state(legacy=False)
    return json.loads(json.dumps(values, default=_plain))


def _plain(value: Any) -> Any:
    return {"integers": value.tolist(), "dtype": str(value.dtype)}


def _set_state(rng: Any, values: Any) -> None:
    restored = _arrays_in(values)
    if isinstance(rng, np.random.Generator):
        rng.bit_generator.state = restored
    else:
        rng.set_state(restored)


def _arrays_in(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    if values.keys() == {"integers", "dtype"}:
        return np.array(values["integers"], values["dtype"])
    return {k: _arrays_in(v) for k, v in values.items()}
