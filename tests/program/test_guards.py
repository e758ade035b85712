"""What Python reads from around a step may change: then there is another program."""

import argparse
import dataclasses
import functools
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim
from tinygrad_fm.program import guard

FACTOR = 2.0


def scaled(x):
    return x * FACTOR


class Own(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(3, 3, rng=0, dtype=np.float64)
        self.weight = nn.Parameter(np.ones(3))
        self.act, self.act_layer = np.tanh, nn.Identity()
        self.config, self._scale, self.scales = {"scale": 2.0}, 1.0, (1.0, 2.0)
        self.layers = [nn.Tanh()]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        x = self.act_layer(self.act(self.layer(x))) * self.weight
        return x * self.config["scale"] * self._scale + self.scales[1]


class Trainer:
    def __init__(self):
        self.model, self.scale, self.config = Own(), 1.0, {"shift": 0.0}

    def step(self, x):
        return self.model(x) * self.scale + self.config["shift"]


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t.model, "act", np.exp),
        lambda t: setattr(t.model, "act_layer", nn.ReLU()),
        lambda t: setattr(t.model, "weight", nn.Parameter(np.full(3, 4.0))),
        lambda t: setattr(t.model, "layer", nn.Linear(3, 3, rng=1, dtype=np.float64)),
        lambda t: setattr(t.model, "_scale", 3.0),
        lambda t: vars(t.model).update(_scale=3.0),
        lambda t: setattr(t.model, "scales", (1.0, 5.0)),
        lambda t: t.model.config.update(scale=5.0),
        lambda t: t.model.layers.append(nn.Sigmoid()),
        lambda t: setattr(t, "model", nn.Linear(3, 3, rng=2, dtype=np.float64)),
        lambda t: setattr(t, "scale", 7.0),
        lambda t: t.config.update(shift=1.0),
    ],
)
def test_a_changed_part_of_an_object_is_noticed(change):
    trainer, x = Trainer(), np.ones((2, 3))
    step = tg.compile(trainer.step)
    for _ in range(3):
        step(x)
    before = step.program
    change(trainer)
    for _ in range(3):
        np.testing.assert_array_equal(step(x).data, trainer.step(tg.Tensor(x)).data)
    assert step.program is not before


def test_arguments_of_another_kind_after_the_same_ones_many_times_are_noticed():
    step = tg.compile(lambda x: 2 * x)
    x = np.ones((2, 3))
    for _ in range(3):
        step(x)
    apart = np.frombuffer(bytes(1) + np.ones(6).tobytes(), np.float64, offset=1)  # not aligned
    others = [x[:, :2], x.astype(np.float32), np.asfortranarray(x), tg.Tensor(x), apart]
    for other in others * 3:
        for given in (other, x):
            np.testing.assert_array_equal(step(given).data, 2 * np.array(given))
    assert step(x.astype(np.float32)).dtype == np.float32


def test_an_attribute_of_a_layer_is_noticed_however_often_others_were_set():
    model, x = nn.Sequential(nn.LeakyReLU(0.1), nn.Dropout(0.5, rng=0)), -np.ones(4)
    step = tg.compile(lambda x: model(x))
    model.eval()
    for _ in range(3):
        step(x)
    for slope in (0.1, 0.2, 0.3):
        nn.Tanh().train()  # of another model
        model[0].negative_slope = slope
        for _ in range(2):
            np.testing.assert_array_equal(step(x).data, slope * x)
    del model[1].training  # then the class says
    assert (step(x).data == 0).any()


def test_a_layer_added_to_a_sequential_is_noticed():
    model = nn.Sequential(nn.Tanh())
    step = tg.compile(lambda x: model(x))
    for _ in range(3):
        step(np.ones(3))
    model.append(nn.ReLU()).append(nn.Linear(3, 1, rng=0, dtype=np.float64))
    assert step(np.ones(3)).shape == (1,)


def test_a_generator_put_in_place_of_another_is_noticed():
    layer = nn.Dropout(0.5)
    step = tg.compile(lambda x: layer(x))
    for _ in range(3):
        step(np.ones(50))
    layer._rng = np.random.default_rng(5)
    found = step(np.ones(50)).data
    layer._rng = np.random.default_rng(5)
    np.testing.assert_array_equal(found, layer(np.ones(50)).data)


def test_variables_of_functions_that_the_step_calls_are_noticed(monkeypatch):
    shift = 1.0

    def shifted(x):
        return x + shift

    step = tg.compile(lambda x: sum(scaled(part) for part in (shifted(x),)))
    for _ in range(3):
        np.testing.assert_array_equal(step(np.ones(1)).data, [4.0])
    shift = 2.0
    np.testing.assert_array_equal(step(np.ones(1)).data, [6.0])
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    np.testing.assert_array_equal(step(np.ones(1)).data, [9.0])


def test_variables_of_a_primitive_of_ones_own_are_noticed():
    factor = 2.0
    own = tg.custom_vjp(lambda x: x * factor, backward=lambda g, y, x: g * factor)
    step = tg.compile(lambda x: own(x))
    for _ in range(3):
        step(np.ones(1))
    factor = 3.0
    np.testing.assert_array_equal(step(np.ones(1)).data, [3.0])


def test_another_optimizer_and_another_array_in_a_variable_are_noticed():
    w, mask = tg.Tensor(np.ones(2), requires_grad=True), np.ones(2)
    optimizer = optim.SGD([w], lr=1.0)

    @tg.compile
    def step(x):
        w.grad = None
        np.sum(w * x * mask).backward()
        optimizer.step()

    for _ in range(3):
        step(np.ones(2))
    optimizer, mask = optim.SGD([w], lr=0.5), np.array([1.0, 0.0])
    step(np.ones(2))
    np.testing.assert_array_equal(w.data, [-2.5, -2.0])


def test_results_that_a_module_keeps_do_not_make_programs():
    class Keeps(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(3, 3, rng=0)

        def forward(self, x):
            self.last = self.layer(x)
            return self.last * 2

    model = Keeps()
    step = tg.compile(lambda x: model(x))
    x = np.ones((1, 3), np.float32)
    for _ in range(2):
        step(x)
    program = step.program
    model(tg.Tensor(x))
    step(x)
    assert step.program is program


def test_going_to_evaluation_and_back_makes_two_programs():
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.BatchNorm1d(3), nn.Dropout(0.5))
    step, x = tg.compile(lambda x: model(x)), np.ones((2, 3), np.float32)
    for _ in range(8):
        model.train()
        step(x)
        model.eval()
        step(x)
    (entries,) = step._entries.values()
    assert sum(entry.program is not None for entry in entries) == 2


def test_what_changes_in_each_call_ends_the_tracing_and_is_named():
    layer = nn.LeakyReLU(0.1)
    step = tg.compile(lambda x: layer(x))
    for i in range(12):
        layer.negative_slope = i / 10
        np.testing.assert_array_equal(step(-np.ones(1)).data, [-i / 10])
    with pytest.raises(ValueError, match="not compiled: negative_slope of LeakyReLU changed from"):
        step.explain()


def test_a_number_that_is_another_in_each_call_is_to_be_an_array():
    step = tg.compile(lambda x, rate: x * rate)
    for i in range(40):
        np.testing.assert_array_equal(step(np.ones(1), i / 100).data, [i / 100])
    with pytest.raises(ValueError, match=r"its arguments changed.*hand in numbers.*as arrays"):
        step.explain()


class Blocks(nn.Module):
    """Holds layers in containers that are not called, and an object with a setting."""

    def __init__(self):
        self.blocks = nn.ModuleList([nn.LeakyReLU(0.5)])
        self.named = nn.ModuleDict({"a": nn.LeakyReLU(0.25)})
        self.config = SimpleNamespace(scale=2.0)

    def forward(self, x):
        for layer in self.blocks:
            x = layer(x)
        return self.named["a"](x) * self.config.scale


class Times:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor

    method = __call__


def changed_containers():
    leaky = nn.LeakyReLU(0.1)
    yield "__dict__", leaky, lambda: vars(leaky).update(negative_slope=0.9)
    other = nn.LeakyReLU(0.1)
    yield "object", other, lambda: object.__setattr__(other, "negative_slope", 0.9)
    for name, change in {
        "list": lambda b: b.blocks.append(nn.LeakyReLU(0.5)),
        "item": lambda b: b.blocks.items.__setitem__(0, nn.LeakyReLU(2.0)),
        "dictionary": lambda b: b.named.__setitem__("a", nn.LeakyReLU(3.0)),
        "object in a module": lambda b: setattr(b.config, "scale", 5.0),
        "forward": lambda b: setattr(b, "forward", lambda x: 9 * x),
    }.items():
        blocks = Blocks()
        yield name, blocks, partial(change, blocks)
    times = Times(2.0)
    yield "callable", nn.Sequential(times), lambda: setattr(times, "factor", 3.0)
    twice = Times(2.0)
    yield "method", nn.Sequential(twice.method), lambda: setattr(twice, "factor", 3.0)
    model, penalty = nn.Sequential(nn.Linear(3, 3, rng=0)), nn.L2Penalty(0.1)
    yield "penalised", lambda x: x + penalty(model), lambda: model.append(nn.Linear(3, 3, rng=1))


@pytest.mark.parametrize("case", list(changed_containers()), ids=lambda case: case[0])
def test_a_change_in_a_part_that_is_not_called_by_itself_is_noticed(case):
    _, function, change = case
    x = -np.ones((2, 3))
    step = tg.compile(lambda x: function(x))
    for _ in range(3):
        before = step(x).data
    assert step.program
    change()
    np.testing.assert_array_equal(step(x).data, function(tg.Tensor(x)).data)
    assert (step(x).data != before).any()


def test_a_change_of_a_class_is_noticed(monkeypatch):
    layer, own = nn.Dropout(0.5, rng=0), Blocks()
    step = tg.compile(lambda x: layer(x) + own(x))
    for _ in range(3):
        assert (step(np.ones(50)).data == 2).any()
    monkeypatch.setattr(nn.Dropout, "training", False)
    assert (step(np.ones(50)).data == 3).all()
    monkeypatch.setattr(Blocks, "forward", lambda self, x: 4 * x)
    assert (step(np.ones(50)).data == 5).all()


def test_a_module_of_ones_own_is_compared_as_a_whole_where_nothing_has_changed():
    model, x = Own(), np.ones((2, 3))
    step = tg.compile(model)
    for _ in range(3):
        step(x)
    guards = step.program.traced.guards
    assert guards.settings
    guards.settings = [("nothing", lambda: pytest.fail("looked at one by one"), None)]
    step(x)


def test_a_variable_that_is_set_to_an_equal_value_is_the_same(monkeypatch):
    step = tg.compile(scaled)
    for _ in range(3):
        step(np.ones(2))
    program = step.program
    monkeypatch.setitem(globals(), "FACTOR", float("2.0"))
    step(np.ones(2))
    assert step.program is program
    guards = program.traced.guards
    assert guards._all_the_same()


class Scaled:
    """What a step may read on many ways."""

    shift = 0.0

    def __init__(self):
        self.scale, self.inner = 2.0, SimpleNamespace(deep=SimpleNamespace(power=1))
        self.weights, self.named, self.marks = [1.0], {"a": 1.0}, {"on"}
        self._bias, self.options = 0.5, argparse.Namespace(rate=1.0)

    @property
    def bias(self):
        return self._bias

    @classmethod
    def moved(cls, x):
        return x + cls.shift

    @staticmethod
    def signed(x):
        return x * float(np.copysign(1.0, ZERO))

    def helped(self, x):
        return x**self.inner.deep.power * self.scale * self.options.rate

    def step(self, x):
        y = self.moved(self.helped(x)) + self.bias
        for weight in self.weights:
            y = y * weight
        y = y * self.named.get("b", 1.0) + self.signed(x)
        return -y if "off" in self.marks else y

    def __call__(self, x):
        return self.step(x)


ZERO = 0.0


@dataclasses.dataclass(slots=True)
class Slotted:
    scale: float


@functools.lru_cache
def kept():
    return FACTOR


def with_default(x, scale=2.0):
    return x * scale


def in_a_dictionary(held):
    objects = {"one": held}
    return lambda x: objects["one"].step(x)


CHANGES = {
    "by a helping method": lambda o: setattr(o, "scale", 5.0),
    "two objects further": lambda o: setattr(o.inner.deep, "power", 3),
    "an object of a library": lambda o: setattr(o.options, "rate", 4.0),
    "property": lambda o: setattr(o, "_bias", 7.0),
    "list of numbers": lambda o: o.weights.append(3.0),
    "new key": lambda o: o.named.update(b=4.0),
    "set": lambda o: o.marks.add("off"),
    "own attribute before that of the class": lambda o: setattr(o, "shift", 0.0),
}
WAYS = {
    "method": lambda o: o.step,
    "object": lambda o: o,
    "variable": lambda o: lambda x: o(x),
    "partial": lambda o: functools.partial(Scaled.step, o),
    "in a dictionary": in_a_dictionary,
}


def follows(function, change):
    """Whether a compiled step does what the function does, before and after a change."""
    x = np.array([1.0, 2.0, -3.0])
    step = tg.compile(function)
    with np.errstate(divide="ignore"):
        for _ in range(3):
            before = step(x).data
        assert step.program
        change()
        after = function(tg.Tensor(x)).data
        for _ in range(3):
            np.testing.assert_array_equal(step(x).data, after)
    return not np.array_equal(before, after)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_what_is_read_on_the_way_may_change(way, change):
    held = Scaled()
    changed = follows(WAYS[way](held), lambda: CHANGES[change](held))
    assert changed or change == "own attribute before that of the class"


def test_what_classes_and_functions_hold_may_change(monkeypatch):
    held, slotted = Scaled(), Slotted(2.0)
    assert follows(held.step, lambda: monkeypatch.setattr(Scaled, "shift", 3.0))
    assert follows(held.step, lambda: monkeypatch.setattr(Scaled, "helped", lambda self, x: 9 * x))
    assert follows(lambda x: Scaled.moved(x), lambda: monkeypatch.setattr(Scaled, "shift", 5.0))
    assert follows(held.step, lambda: monkeypatch.setitem(globals(), "ZERO", -0.0))
    assert follows(lambda x: x * slotted.scale, lambda: setattr(slotted, "scale", 3.0))
    assert follows(
        lambda x: with_default(x),
        lambda: monkeypatch.setattr(with_default, "__defaults__", (3.0,)),
    )

    def other():
        kept.cache_clear()
        monkeypatch.setitem(globals(), "FACTOR", 7.0)

    kept.cache_clear()
    assert follows(lambda x: x * kept(), other)


def test_a_variable_that_is_deleted_and_assigned_again_is_noticed():
    def surroundings():
        factor = 2.0

        @tg.compile
        def step(x):
            return x * factor

        def assign(value):
            nonlocal factor
            factor = value

        def delete():
            nonlocal factor
            del factor

        return step, assign, delete

    step, assign, delete = surroundings()
    for value in (2.0, 3.0, 3.0):
        delete()
        with pytest.raises(NameError, match="factor"):
            step(np.ones(1))
        assign(value)
        for _ in range(3):
            assert step(np.ones(1)).data[0] == value


def test_what_another_thread_changes_meanwhile_is_noticed(monkeypatch):
    model = nn.LeakyReLU(0.1)
    (name,) = (n for n, value in vars(model).items() if value == 0.1)
    step, x = tg.compile(lambda x: model(x)), np.full(2, -1.0)
    for _ in range(3):
        step(x)
    setattr(model, name, 0.1)  # an equal one: it is looked at all
    now = guard.Guards._now

    def interrupted(guards):
        monkeypatch.undo()
        setattr(model, name, 0.2)
        return now(guards)

    monkeypatch.setattr(guard.Guards, "_now", interrupted)
    assert [step(x).data[0] for _ in range(3)] == [-0.2] * 3


def test_zeros_of_both_signs_are_two_arguments():
    step = tg.compile(lambda x, k: x / k)
    with np.errstate(divide="ignore"):
        for zero in (np.float32(0.0), np.float32(-0.0), 0.0, -0.0):
            for _ in range(3):
                assert step(np.ones(1), zero).data[0] == np.float64(1) / zero


def test_a_list_to_which_the_step_adds_results_does_not_stop_it():
    kept_results = []

    def step(x):
        y = x * 2
        kept_results.append(y)
        return y

    compiled = tg.compile(step)
    for _ in range(5):
        compiled(np.ones(2))
    assert compiled.program
    assert len(kept_results) == 2


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_parameter_that_thawed_is_the_same_parameter(call):
    model = nn.Sequential(nn.Linear(3, 3, rng=0), nn.Tanh(), nn.Linear(3, 1, rng=1))
    step = tg.compile(lambda x: np.sum(model(x) ** 2).backward())
    for i in range(5):
        if i == call:
            model.freeze()
            model[0].weight.requires_grad_(True)
            model.freeze(frozen=False)
        step(np.ones((2, 3), np.float32))
    assert step.program


def test_arguments_that_lie_in_one_another_are_written_in_order():
    def both(a, b):
        before = b * 1.0
        with tg.no_grad():
            a += 1
        return before, b * 1.0

    step = tg.compile(both)
    for _ in range(3):
        step(np.zeros(3), np.zeros(3))
    memory = np.zeros(4)
    first, second = step(memory[:3], memory[1:])
    assert (first.data == 0).all()
    np.testing.assert_array_equal(second.data, [1, 1, 0])
    np.testing.assert_array_equal(memory, [1, 1, 1, 0])


def test_a_result_of_another_kind_is_named():
    step = tg.compile(lambda x: SimpleNamespace(y=x))
    step(np.ones(2))
    with pytest.raises(tg.TraceError, match=r"returned a SimpleNamespace, .* returns arrays"):
        step(np.ones(2))
