"""The base of optimizers: groups of parameters, updated in cache-sized blocks of flat buffers."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from tinygrad_fm import engine, fast
from tinygrad_fm.optim import loops
from tinygrad_fm.optim.factored import FactoredGradients
from tinygrad_fm.optim.flat import FORGET, Array, Flat, Settings
from tinygrad_fm.optim.loops import Fused
from tinygrad_fm.optim.repeated import RepeatedStep
from tinygrad_fm.tensor import Tensor


class Optimizer:
    """Updates parameters from their gradients.

    A subclass names its `state` arrays, checks its settings in `check`, and writes `update` for one
    flat block; everything else (groups, missing gradients, saving) is here. Where it writes `fused`
    too, the extra `fast` (Numba) compiles that loop once a run is long enough; the environment
    variable TINYGRAD_FM_FAST is 0 to do without, 1 to compile at the first step.

    Args:
        parameters: Tensors that require a gradient; one that is given twice counts once. Or groups
            with settings of their own: [{"parameters": [...], "lr": 0.1}, ...].
        **settings: the settings of every group that has none of its own; lr is among them.

    Raises:
        ValueError: no parameters, an unknown setting, or one outside its range.
        TypeError: something that is no Tensor requiring a gradient, or a setting that is no number.
    """

    state: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Iterable[Tensor | dict[str, Any]], **settings: Any):
        kind = type(self).__name__
        if isinstance(parameters, Tensor):
            raise TypeError(f"{kind} takes a list of Tensors; write [parameter]")
        if hasattr(parameters, "parameters"):
            raise TypeError(f"{kind} takes a list of Tensors; write model.parameters()")
        given = list(parameters)
        if not any(isinstance(entry, dict) for entry in given):
            given = [{"parameters": given}]
        self.groups: list[Settings] = []
        self.parameters: list[Tensor] = []
        self._flats: list[Flat] = []
        for entry in given:
            self._add_group(entry, settings)
        if not self.parameters:
            raise ValueError(
                f"{kind} got no parameters; pass model.parameters(), once: a generator that was "
                "read before is empty"
            )

    def _add_group(self, entry: Any, defaults: dict[str, Any]) -> None:
        kind = type(self).__name__
        if not isinstance(entry, dict) or "parameters" not in entry:
            raise TypeError(
                f'{kind}: a group is {{"parameters": [...], "lr": ...}}, not {entry!r:.80}'
            )
        own = {name: value for name, value in entry.items() if name != "parameters"}
        for name in own:
            if name not in defaults:
                near = difflib.get_close_matches(name, defaults, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ValueError(f"{kind} has no setting {name!r}; it has {sorted(defaults)}{hint}")
        settings = Settings(**{**defaults, **own})
        self._check(settings)
        seen = {id(p) for p in self.parameters}
        unique = [p for i, p in {id(p): p for p in entry["parameters"]}.items() if i not in seen]
        for p in unique:
            if not isinstance(p, Tensor) or not p.is_leaf or p.dtype.kind != "f":
                raise TypeError(
                    f"{kind} updates Tensors created with requires_grad=True, not {p!r:.80}"
                )
        if unique and not any(p.requires_grad for p in unique):
            raise ValueError(
                f"{kind}: none of the {len(unique)} parameters requires a gradient; write "
                "Tensor(..., requires_grad=True) or nn.Parameter(...), or model.freeze(False)"
            )
        self.groups.append(settings)
        self.parameters += unique
        self._flats += [
            Flat([p for p in unique if p.dtype == dtype], self.arrays(settings), settings)
            for dtype in dict.fromkeys(p.dtype for p in unique)
        ]

    def _take_changed(self) -> None:
        """Take the settings that a user has set since the last step, as each step does first."""
        for flat in self._flats:
            if vars(flat.settings) != flat.checked:
                self._check_changed(flat)

    def _check_changed(self, flat: Flat) -> None:
        """Refuse what a user set in a group that no group can have, and make the state it needs."""
        kind, settings = type(self).__name__, flat.settings
        for name in vars(settings):
            if name not in flat.checked:
                near = difflib.get_close_matches(name, flat.checked, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise AttributeError(
                    f"{kind} has no setting {name!r}; it has {sorted(flat.checked)}{hint}"
                )
        self._check(settings)
        flat.take_settings(self.arrays(settings))

    def _check(self, settings: Settings) -> None:
        settings.lr = not_negative(type(self).__name__, "lr", settings.lr)
        self.check(settings)

    def check(self, settings: Settings) -> None:
        """Refuse settings outside their range; a subclass says which."""

    def arrays(self, settings: Settings) -> tuple[str, ...]:
        """The names of the state arrays that these settings need."""
        return self.state

    @property
    def lr(self) -> float:
        """Learning rate of the first group; assigning sets that of all groups.

        Raises:
            ValueError: a rate below 0, or not finite.
            TypeError: no number; a schedule gives one, `optimizer.lr = schedule(step)`.
        """
        return float(self.groups[0].lr)

    @lr.setter
    def lr(self, value: float) -> None:
        if engine.state.mode.trace is not None:
            engine.state.mode.trace.sets("lr")
        rate = not_negative(type(self).__name__, "lr", value)
        for group in self.groups:
            group.lr = rate

    def __setattr__(self, name: str, value: Any) -> None:
        if (
            name != "lr"
            and hasattr(self, "groups")
            and self.groups
            and hasattr(self.groups[0], name)
        ):
            raise AttributeError(
                f"{name} is a setting of the groups; write optimizer.groups[0].{name} = {value!r}"
            )
        super().__setattr__(name, value)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters:
            p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient, in place.

        Raises:
            ValueError: none has one, or a group's setting was set outside its range.
            AttributeError: a group was given a setting that there is not.
        """
        gradients = [
            [None if p._grad is None else p._grad._array for p in flat.parameters]
            for flat in self._flats
        ]
        if all(g is None for found in gradients for g in found):
            raise ValueError(
                f"{type(self).__name__}.step(): no parameter has a gradient; call loss.backward() "
                "before, and give the optimizer the parameters of the model that made the loss"
            )
        self._update(gradients)
        if engine.state.mode.trace is not None:
            engine.state.mode.trace.updated(self)

    def step_flat(
        self,
        missing: Collection[int] = (),
        factored: Sequence[FactoredGradients | None] | None = None,
        origin: engine.Origin | None = None,
    ) -> None:
        """Update every parameter from what the caller has written into the `gradient_views`.

        For compiled programs: nothing is gathered, and the gradients of the Tensors are neither
        read nor changed. Otherwise as `step`.

        Args:
            missing: the id() of each parameter that has no gradient, and is left as it is.
            factored: for each flat buffer the gradients that are given as factors instead, if
                there are any; loops must be compiled then.
            origin: the user's line that updates, for errors of graphs that are older.
        """
        self._update(
            [
                [
                    None if id(p) in missing else view
                    for p, view in zip(flat.parameters, flat.gradient_views, strict=True)
                ]
                if missing
                else flat.gradient_views
                for flat in self._flats
            ],
            factored,
            origin,
        )

    def repeated_step(
        self,
        missing: Collection[int] = (),
        factored: Sequence[FactoredGradients | None] | None = None,
        origin: engine.Origin | None = None,
    ) -> RepeatedStep:
        """A function that does what `step_flat` does with these, and finds most of it ready.

        It calls `step_flat` only where parameters are missing, or not updated equally often.
        """
        return RepeatedStep(self, missing, factored or [None] * len(self._flats), origin)

    def factored(self, wanted: Collection[int]) -> list[FactoredGradients | None]:
        """Places for gradients that are a column times a row, for `step_flat`.

        Args:
            wanted: the id() of each parameter, a matrix, that is to have such a gradient.

        Returns:
            for each flat buffer what it has of them, None where it has none.
        """
        found: list[FactoredGradients | None] = []
        for flat in self._flats:
            positions = [i for i, p in enumerate(flat.parameters) if id(p) in wanted]
            able = positions and self._has_loop_for(flat)
            found.append(FactoredGradients(flat, positions) if able else None)
        return found

    def _update(
        self,
        gradients: list[list[Any]],
        factored: Sequence[FactoredGradients | None] | None = None,
        origin: engine.Origin | None = None,
    ) -> None:
        """Update from the gradients of each flat buffer's parameters; None where there is none."""
        factored = factored or [None] * len(self._flats)
        self._take_changed()
        for flat, found, factors in zip(self._flats, gradients, factored, strict=True):
            flat.adopt()
            runs = flat.gather(found)
            flat.mark_changed(runs, origin)
            if self._compiles(flat, factors):
                loops.update(flat, runs, self.fused, factors)
            else:
                for run, blocks in zip(runs, flat.blocks(runs), strict=True):
                    for start, end, w, own, scratch, state in blocks:
                        g = own if run.elsewhere is None else run.elsewhere[start:end]
                        self.update(w, g, scratch, run.step, flat.settings, *state)
            if max(flat.steps) % FORGET == 0:
                flat.forget()

    def update(
        self, w: Array, g: Array, scratch: Array, step: int, settings: Settings, *state: Array
    ) -> None:
        """Update the weights `w` in place, from their gradient `g`, which is left as it is.

        Args:
            w, g, scratch, state: arrays of one length; scratch has no meaning before or after.
            step: 1 at the first update.
            settings: of the group; `settings.lr` is the learning rate.
        """
        raise NotImplementedError(f"{type(self).__name__} has no update method; define one")

    def fused(self, step: int, settings: Settings) -> Fused:
        """`update` as a loop over elements, for the extra `fast` to compile, and its numbers.

        The loop is a function of a module, whose arguments are w, g, the state arrays, and the
        numbers. A subclass may do without: one that has its own `update` inherits none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no loop to compile")

    def _compiles(self, flat: Flat, factors: FactoredGradients | None) -> bool:
        """Whether the next update of a flat buffer is by compiled loops; to ask counts as one."""
        able = self._has_loop_for(flat)
        return able and (factors is not None or fast.ready(len(flat.values)))

    def _has_loop_for(self, flat: Flat) -> bool:
        return self._has_loop and flat.kind in fast.DTYPES

    _has_loop: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "update" in vars(cls) or "fused" in vars(cls):
            cls._has_loop = "fused" in vars(cls)

    def state_dict(self) -> dict[str, Any]:
        """Settings of each group, and for each parameter (by number) its steps and state arrays.

        Raises:
            ValueError, AttributeError: a group's setting was set wrong; see `step`.
        """
        self._take_changed()
        found: dict[str, Any] = {"groups": [dict(vars(group)) for group in self.groups]}
        number = {id(p): i for i, p in enumerate(self.parameters)}
        for flat in self._flats:
            views = {name: flat.views_of(array) for name, array in flat.state.items()}
            for i, (p, step) in enumerate(zip(flat.parameters, flat.steps, strict=True)):
                arrays = {name: np.array(view[i], order="C") for name, view in views.items()}
                found[str(number[id(p)])] = {"step": step, **arrays}
        return found

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Continue from a `state_dict()` of the same optimizer over the same parameters.

        The settings are its own afterwards, whatever they were: with its momentum, its velocity.

        Raises:
            ValueError: it has other settings, or such as no group can have, other parameters, or
                arrays of another shape; nothing is changed then.
            TypeError: a setting of it is no number.
        """
        kind, groups = type(self).__name__, values.get("groups", [])
        expected = {"groups", *map(str, range(len(self.parameters)))}
        if values.keys() != expected or len(groups) != len(self.groups):
            raise ValueError(f"the state has {sorted(values)}, this {kind} {sorted(expected)}")
        for theirs, ours in zip(groups, self.groups, strict=True):
            if theirs.keys() != vars(ours).keys():
                raise ValueError(
                    f"the state has {sorted(theirs)}, this {kind} {sorted(vars(ours))}"
                )
        taken = {
            id(ours): Settings(**theirs) for ours, theirs in zip(self.groups, groups, strict=True)
        }
        for settings in taken.values():
            self._check(settings)
        states = [self.arrays(taken[id(flat.settings)]) for flat in self._flats]
        number = {id(p): str(i) for i, p in enumerate(self.parameters)}
        for flat, state in zip(self._flats, states, strict=True):
            for p in flat.parameters:
                _check_entry(number[id(p)], values[number[id(p)]], state, p.shape)
        for ours in self.groups:
            vars(ours).update(vars(taken[id(ours)]))
        for flat, state in zip(self._flats, states, strict=True):
            flat.take_settings(state)
            for i, p in enumerate(flat.parameters):
                given = values[number[id(p)]]
                flat.steps[i] = int(given["step"])
                for name, array in flat.state.items():
                    flat.views_of(array)[i][...] = given[name]

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value}" for name, value in vars(self.groups[0]).items())
        more = f", and {len(self.groups) - 1} more groups" if len(self.groups) > 1 else ""
        count = sum(p.size for p in self.parameters)
        return f"{type(self).__name__}({count:,} parameters, {options}{more})"


def _check_entry(
    number: str, given: dict[str, Any], state: tuple[str, ...], shape: tuple[int, ...]
) -> None:
    expected = {"step": (), **dict.fromkeys(state, shape)}
    if given.keys() != expected.keys():
        raise ValueError(
            f"the state of parameter {number} has {sorted(given)}, not {sorted(expected)}"
        )
    for name, wanted in expected.items():
        if np.shape(given[name]) != wanted:
            raise ValueError(
                f"{name} of parameter {number} has shape {np.shape(given[name])}, not {wanted}"
            )


def not_negative(owner: str, name: str, value: Any, below: float = float("inf")) -> float:
    """The setting as a float.

    Raises:
        ValueError: it is negative, not finite, or not below the bound.
        TypeError: it is no number, such as a schedule in place of a learning rate.
    """
    is_number = hasattr(value, "__float__") or hasattr(value, "__index__")
    if not is_number or int(getattr(value, "ndim", 0)):
        hint = ""
        if name == "lr" and callable(value):
            hint = (
                "; write optimizer.lr = schedule(step) between the steps, or in training the "
                "callback train.ScheduleLR(schedule)"
            )
        raise TypeError(f"{owner}: {name} is a number, not {value!r:.80}{hint}")
    number = float(value)
    if not 0 <= number < below:
        limit = "" if below == float("inf") else f" and below {below:g}"
        raise ValueError(f"{owner}: {name} is at least 0{limit}, not {value!r}")
    return number
