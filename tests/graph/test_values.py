"""Statistics, badges, times, gradients; and that drawing changes nothing."""

import functools
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn
from tinygrad_fm.graph.statistics import BINS, describe


def test_statistics_by_hand():
    found = describe(np.array([[0.0, 3.0], [0.0, -1.0]]))
    assert (found.mean, found.min, found.max, found.zeros) == (0.5, -1.0, 3.0, 0.5)
    assert found.std == pytest.approx(np.std([0, 3, 0, -1]))
    assert found.norm == pytest.approx(np.sqrt(10))
    assert found.dead == 0.5
    assert found.nonfinite == 0
    assert len(found.histogram) == BINS
    assert sum(found.histogram) == 4
    assert found.histogram[0] == found.histogram[-1] == 1


def test_statistics_leave_out_what_is_not_finite():
    found = describe(np.array([1.0, np.nan, np.inf, 3.0]))
    assert (found.mean, found.nonfinite, found.dead) == (2.0, 2, None)
    assert np.isnan(describe(np.array([np.nan])).mean)
    assert describe(np.zeros((0, 3))) is None


def test_statistics_do_not_overflow():
    found = describe(np.array([3e38, -3e38], np.float32))
    assert found.norm == pytest.approx(3e38 * np.sqrt(2))
    assert describe(np.array([1e308, 1e308])).std == 0


def loss_graph(model, x, labels, **options):
    criterion = nn.CrossEntropyLoss()
    return tg.draw(lambda x: criterion(model(x), labels), x, **options)


def small_model():
    return nn.Sequential(nn.Linear(3, 5, rng=0), nn.ReLU(), nn.Linear(5, 2, rng=1))


X = np.random.default_rng(0).standard_normal((8, 3)).astype(np.float32)
LABELS = np.array([0, 1] * 4)


def test_values_and_gradients_are_those_of_a_training_step():
    model = small_model()
    graph = loss_graph(model, X, LABELS, values=True)
    loss = nn.CrossEntropyLoss()(model(X), LABELS)
    loss.backward()
    by_name = {node.name: node for node in graph.nodes if node.kind == "parameter"}
    for name, parameter in model.named_parameters():
        assert by_name[name].value.norm == pytest.approx(np.linalg.norm(parameter.data), rel=1e-6)
        assert by_name[name].gradient.norm == pytest.approx(
            np.linalg.norm(parameter.grad.data), rel=1e-6
        )
    assert graph.nodes[-1].value.mean == pytest.approx(loss.item())
    assert all(node.value is not None for node in graph.nodes if node.kind != "constant")
    assert all(node.seconds > 0 for node in graph.nodes if node.kind == "operation")


def test_without_values_nothing_is_described():
    graph = loss_graph(small_model(), X, LABELS)
    assert all(node.value is node.gradient is node.seconds is None for node in graph.nodes)


def test_a_dead_relu_has_a_badge():
    model = small_model()
    model[0].bias.data = np.full(5, -100.0, np.float32)
    relu = next(n for n in loss_graph(model, X, LABELS, values=True).nodes if n.label == "relu")
    assert relu.badges == ["100% dead"]


def test_vanishing_and_exploding_gradients_have_badges():
    layers = [layer for i in range(30) for layer in (nn.Linear(4, 4, rng=i), nn.Sigmoid())]
    deep = nn.Sequential(nn.Linear(3, 4, rng=0), nn.Sigmoid(), *layers, nn.Linear(4, 2, rng=1))
    nodes = loss_graph(deep, X, LABELS, values=True).nodes
    badge_of = {node.name: node.badges for node in nodes if node.kind == "parameter"}
    assert badge_of["0.weight"] == ["vanishing gradient"]
    assert badge_of["62.weight"] == []
    w = nn.Parameter(np.array([1e-3]))
    square = nn.Module()
    square.w = w
    square.forward = lambda x: (1e4 * w * x).sum()
    graph = tg.draw(square, np.ones(3), values=True)
    assert [n.badges for n in graph.nodes if n.kind == "parameter"] == [["exploding gradient"]]


def test_what_is_not_finite_has_a_badge():
    with np.errstate(all="ignore"):
        graph = tg.draw(lambda x: np.log(x).sum(), np.array([1.0, 0.0]), values=True)
    assert graph.nodes[1].badges == ["1 non-finite"]


def test_drawing_changes_nothing():
    rng = np.random.default_rng(3)
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Dropout(0.5, rng=rng))
    before = model.state_dict()
    state = rng.bit_generator.state
    tg.draw(model, X, values=True, backward=True)
    tg.draw(lambda x: model(x).sum(), X)
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert rng.bit_generator.state == state
    assert all(parameter.grad is None for parameter in model.parameters())


class Holder:
    """An object of the user's that holds a model and a generator."""

    def __init__(self, model, rng):
        self.model, self.rng = model, rng

    def __call__(self, x):
        return self.loss(x)

    def loss(self, x):
        return (self.model(x) * self.rng.standard_normal(4)).sum()


def ways_to_reach(model, rng):
    """Functions that call the model and draw from the generator."""
    inside = [{"model": model}]
    holder = Holder(model, rng)

    def helper(x):
        return model(x)

    def plain(model, rng, x):
        return model(x) * rng.standard_normal(4)

    return {
        "list": lambda x: inside[0]["model"](x) * rng.random(),
        "helper": lambda x: helper(x) * rng.random(),
        "method": holder.loss,
        "callable": holder,
        "partial": functools.partial(plain, model, rng),
        "default": lambda x, m=model, r=rng: m(x) * r.random(),
        "forward": model.forward,
        "legacy": lambda x: model(x) * np.random.rand(),  # noqa: NPY002
    }


@pytest.mark.parametrize("way", ways_to_reach(nn.Identity(), None))
def test_drawing_changes_nothing_however_the_model_is_reached(way):
    rng = np.random.default_rng(3)
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Dropout(0.5))
    function = ways_to_reach(model, rng)[way]

    def everything():
        generators = [rng, nn.init.generator()]
        states = [g.bit_generator.state for g in generators]
        return str([model.state_dict(), states, np.random.get_state()])  # noqa: NPY002

    before = everything()
    tg.draw(function, X, values=True)
    assert everything() == before


def test_drawing_does_not_bind_a_given_tensor_anew():
    def doubled(x):
        x *= 2.0
        return x

    x = Tensor([1.0], requires_grad=True) * 3.0
    node = x.node
    assert len(tg.draw(doubled, x).nodes) == 3
    assert x.node is node
    assert x.item() == 3.0


def test_a_tensor_shows_the_values_that_its_graph_holds():
    x = Tensor([1.0, 2.0], requires_grad=True, name="x")
    loss = np.sum(np.tanh(x) * x)
    graph = tg.draw(loss, values=True)
    assert graph.nodes[-1].value.mean == pytest.approx(loss.item())
    assert next(n for n in graph.nodes if n.label == "tanh").value is not None
    assert next(n for n in graph.nodes if n.label == "x").gradient is not None
    assert x.grad is None


def test_a_freed_graph_shows_the_values_that_are_left():
    w = nn.Parameter(np.array([1.0, 2.0]))
    loss = np.sum(w * w)
    loss.backward()
    graph = tg.draw(loss, values=True)
    assert [n.value.mean for n in graph.nodes if n.value] == [1.5, 5.0]
    assert all(n.gradient is None for n in graph.nodes)
    with pytest.raises(tg.GraphError, match="freed"):
        tg.draw(loss, backward=True)


def test_a_named_tuple_is_one_argument():
    pair = namedtuple("Pair", "first second")
    graph = tg.draw(lambda p: p.first @ p.second, pair(np.ones(2), np.ones(2)))
    assert [n.label for n in graph.nodes] == ["p", "p", "matmul"]


# ---- the backward graph --------------------------------------------------------------------------


def test_parts_of_a_split_are_described():
    w = Tensor(np.ones((4, 3), np.float32), requires_grad=True)
    graph = tg.draw(lambda x: np.split(x @ w, 3, axis=1)[1].sum(), np.ones((2, 4)), values=True)
    assert [n.label for n in graph.nodes if n.operation][1:3] == ["split 3 axis=1", "pick 1"]
    assert graph.nodes[-1].value.mean == 8.0
    assert tg.draw(np.sum(np.split(w, 3, axis=1)[0]), values=True).nodes[-1].value.mean == 4.0


def test_frozen_parameters_and_buffers_keep_their_names():
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.BatchNorm1d(4), nn.Linear(4, 2, rng=1))
    model.eval()
    for parameter in model[0].parameters():
        parameter.requires_grad = False
    nodes = tg.draw(model, X).nodes
    named = [n.label for n in nodes if n.kind == "constant"]
    assert named == ["0.weight", "0.bias", "1.running_mean", "array"]
    assert sum(n.parameters for n in nodes) == 8 + 10  # those that are learned


def test_the_backward_graph_is_beside_the_forward_one():
    graph = loss_graph(small_model(), X, LABELS, backward=True)
    gradients = {n.name for n in graph.nodes if n.number in graph.results and n.name}
    assert gradients == {f"gradient of {i}.{kind}" for i in (0, 2) for kind in ("weight", "bias")}
    parts = {node.part for node in graph.nodes}
    assert parts == {"forward", "backward"}
    relu = next(n for n in graph.nodes if n.part == "backward" and n.label == "greater 0")
    assert relu.modules == ("gradients", "Sequential", "1 (ReLU)")
    assert all(start < end for start, end in graph.edges)


def test_the_backward_graph_alone_shows_what_it_uses_as_inputs():
    graph = loss_graph(small_model(), X, LABELS, backward="only")
    inputs = {n.label for n in graph.nodes if n.kind == "input"}
    assert "result of relu" in inputs
    assert not any(n.part == "forward" and n.kind == "operation" for n in graph.nodes)
    matmul = next(n for n in graph.nodes if n.name == "gradient of 2.weight")
    assert matmul.modules == ("Sequential", "2 (Linear)")


def test_no_backward_graph_without_a_gradient():
    with pytest.raises(ValueError, match="no backward graph"):
        tg.draw(lambda x: x + 1, np.ones(2), backward=True)


def test_a_second_call_of_a_module_is_told_apart():
    layer = nn.Linear(3, 3, rng=0)
    graph = tg.draw(lambda x: layer(layer(x)), X)
    homes = [n.modules for n in graph.nodes if n.label == "linear"]
    assert homes == [("Linear",), ("Linear #2",)]
    assert {n.modules for n in graph.nodes if n.kind == "parameter"} == {()}


# ---- a forward pass that fails -------------------------------------------------------------------


def test_a_layer_that_refuses_its_input_is_drawn_in_red():
    model = nn.Sequential(nn.Linear(3, 5, rng=0), nn.ReLU(), nn.Linear(4, 2, rng=1))
    graph = tg.draw(model, X)
    last = graph.nodes[-1]
    assert (last.kind, last.label, last.modules) == (
        "error", "Linear", ("Sequential", "2 (Linear)"),
    )  # fmt: skip
    assert "x of shape (8, 5); its last axis must be 4" in graph.error
    assert (graph.nodes[-2].label, graph.edges[-1][0]) == ("relu", graph.nodes[-2].number)
    assert "failed: Linear(4, 2) got" in repr(graph)
    assert "B03A00" in graph.to_dot()
    assert graph.to_text().count("must be 4") == 1


def test_a_module_that_raises_is_drawn_after_what_it_computed():
    class OnlyInEvaluation(nn.Module):
        def __init__(self):
            self.linear = nn.Linear(3, 4, rng=0)

        def forward(self, x):
            y = np.tanh(self.linear(x))
            if self.training:
                raise RuntimeError("not while it trains")
            return y

    graph = tg.draw(OnlyInEvaluation(), X)
    assert [n.label for n in graph.nodes[-3:]] == ["linear", "tanh", "OnlyInEvaluation"]
    assert graph.edges[-1] == (graph.nodes[-2].number, graph.nodes[-1].number)


def test_an_operation_that_fails_is_drawn_after_its_arguments():
    graph = tg.draw(lambda x, w: np.tanh(x) @ w, (np.ones((2, 3)), np.ones((4, 5))))
    assert [n.label for n in graph.nodes] == ["x", "tanh", "w", "matmul"]
    assert graph.nodes[-1].kind == "error"
    assert "(2, 3) @ (4, 5)" in graph.error
    assert graph.nodes[-1].line.endswith(f".py:{graph_line()}")


def graph_line():
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(source, 1) if "np.tanh(x) @ w, (np.ones((2, 3))" in line)


def test_an_error_that_the_model_catches_is_no_failure():
    def careful(x):
        try:
            return x @ np.ones((7, 7))
        except ValueError:
            return np.tanh(x)

    graph = tg.draw(careful, np.ones((2, 3)))
    assert graph.error == ""
    assert [n.label for n in graph.nodes] == ["x", "tanh"]


def test_an_error_before_anything_was_computed_is_raised():
    def broken(x):
        raise KeyError("nothing to do with arrays")

    with pytest.raises(KeyError):
        tg.draw(broken, np.ones(2))


def test_a_later_error_of_any_kind_ends_the_graph():
    def broken(x):
        y = np.tanh(x)
        return {}["missing"] + y

    graph = tg.draw(broken, np.ones(2))
    assert [n.kind for n in graph.nodes] == ["input", "operation", "error"]
    assert graph.nodes[-1].label == "KeyError"


def test_functions_of_several_arguments_name_their_inputs():
    graph = tg.draw(
        lambda images, labels: functional.cross_entropy(images, labels),
        (np.ones((2, 3), np.float32), np.array([0, 1])),
    )
    assert graph.nodes[0].label == "images"


def test_a_number_shows_its_value_and_not_its_settings():
    graph = loss_graph(small_model(), X, LABELS, values=True)
    loss = graph.nodes[-1]
    assert loss.label == "cross_entropy"
    assert f"scalar = {loss.value.mean:.4g}" in graph.to_dot()


def test_a_failure_says_where():
    graph = tg.draw(nn.Sequential(nn.Linear(3, 5, rng=0), nn.Linear(4, 2, rng=1)), X)
    assert graph.failed_at.endswith("in Sequential > 1 (Linear)")
    assert graph.failed_at.startswith(f"{graph.nodes[-1].line}, in ")


def test_a_model_without_inputs_and_a_shape_for_inputs_are_told():
    with pytest.raises(TypeError, match="give it inputs"):
        tg.draw(small_model())
    with pytest.raises(TypeError, match=r"\(32, 3\) looks like a shape; give an array, np\.zeros"):
        tg.draw(small_model(), (32, 3))
