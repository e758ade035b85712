"""What Python reads from around a step may change: then there is another program."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import nn, optim

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
    looks = []
    guards = step.program.traced.guards
    guards._looks = [lambda look=look: (looks.append(look), look())[1] for look in guards._looks]
    step(x)
    step(x)
    assert len(looks) == 2 * len(guards._looks) > 0


def test_a_variable_that_is_set_to_an_equal_value_is_the_same(monkeypatch):
    step = tg.compile(scaled)
    for _ in range(3):
        step(np.ones(2))
    program = step.program
    monkeypatch.setitem(globals(), "FACTOR", float("2.0"))
    step(np.ones(2))
    assert step.program is program
    guards = program.traced.guards
    assert all(look() is value for look, value in zip(guards._looks, guards._values, strict=True))
