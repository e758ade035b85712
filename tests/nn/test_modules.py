"""Modules: parameters found, saved and replaced; wrong configurations; numerics at the extremes."""

import pickle

import numpy as np
import pytest

import tinygrad_fm as tg
from tinygrad_fm import Tensor, functional, nn

rng = np.random.default_rng(0)
X = rng.normal(size=(5, 4))
labels = np.array([0, 3, 2, 1, 1])


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_one_hot_and_soft_labels():
    x = Tensor(X, requires_grad=True)
    by_number = functional.cross_entropy(x, labels)
    np.testing.assert_allclose(functional.cross_entropy(x, np.eye(4)[labels]).data, by_number.data)
    soft = np.full((5, 4), 0.25)
    functional.cross_entropy(x, soft).backward()
    np.testing.assert_allclose(x.grad.data, (softmax(X) - soft) / 5, atol=1e-15)


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        (np.array([0, 1, 2, 3, 4]), ValueError, "label 4 is no class.*classes 0 to 3"),
        (np.array([0, 1, 2, 3, -1]), ValueError, "label -1 is no class"),
        (np.array([0, 1, 2]), ValueError, r"labels have shape \(3,\).*shape \(5,\)"),
        (np.zeros(5), TypeError, "integer dtype"),
    ],
)
def test_labels_that_do_not_fit_are_refused(bad, error, message):
    with pytest.raises(error, match=message):
        functional.cross_entropy(X, bad)


def test_cross_entropy_does_not_overflow():
    x = Tensor(np.array([[1000.0, 0.0], [0.0, -1000.0]]), requires_grad=True)
    loss = functional.cross_entropy(x, np.array([1, 0]), reduction="none")
    np.testing.assert_array_equal(loss.data, [1000.0, 0.0])
    loss.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[1.0, -1.0], [0.0, 0.0]])


def test_sigmoid_keeps_its_digits_and_does_not_overflow():
    x = np.array([-800.0, -40.0, 0.0, 40.0, 800.0])
    np.testing.assert_allclose(functional.sigmoid(x), [0, np.exp(-40.0), 0.5, 1, 1], rtol=1e-15)


class Net(nn.Module):
    def __init__(self):
        self.first = nn.Linear(4, 4, rng=0)
        self.blocks = [nn.Linear(4, 4, rng=1), (nn.Linear(4, 4, rng=2), nn.ReLU())]
        self.named = {"head": nn.Linear(4, 2, rng=3)}
        self.tied = self.first
        self.scale = nn.Parameter(np.ones(1, np.float32))
        self._private = nn.Linear(4, 4)

    def forward(self, x):
        x = self.blocks[0](self.first(x))
        return self.named["head"](self.blocks[1][1](self.blocks[1][0](x))) * self.scale


def test_parameters_are_found_in_attributes_lists_tuples_and_dictionaries():
    assert [name for name, _ in Net().named_parameters()] == [
        "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.0.weight",
        "blocks.1.0.bias", "named.head.weight", "named.head.bias", "scale",
    ]  # fmt: skip


def test_a_tied_parameter_counts_once():
    net = Net()
    assert len(net.parameters()) == len({id(p) for p in net.parameters()}) == 9


def test_the_same_seed_gives_the_same_bits_and_the_default_generator_restarts():
    for make in (lambda: nn.Linear(4, 3, rng=5), lambda: (nn.init.seed(3), nn.Linear(4, 3))[1]):
        np.testing.assert_array_equal(make().weight.data, make().weight.data)
    with pytest.raises(TypeError, match=r"rng is a seed or a np\.random\.Generator"):
        nn.Linear(4, 3, rng="0")


def test_initial_values_have_the_stated_spread():
    weight = nn.init.he_normal((500, 400), 0)
    assert weight.dtype == np.float32
    np.testing.assert_allclose(weight.std(), np.sqrt(2 / 500), rtol=0.01)
    np.testing.assert_allclose(nn.init.normal((500, 400), 0, std=0.1).std(), 0.1, rtol=0.01)


def test_state_is_saved_and_loaded_into_the_same_arrays():
    source, target = Net(), Net()
    source.scale.data = np.array([3.0])
    arrays = [p.data for p in target.parameters()]
    target.load_state_dict(source.state_dict())
    assert all(p.data is a for p, a in zip(target.parameters(), arrays, strict=True))
    np.testing.assert_array_equal(target(X).data, source(X).data)


def test_a_state_that_does_not_fit_changes_nothing():
    net = Net()
    state = net.state_dict()
    before = net.first.weight.data.copy()
    state["first.weight"] = state["first.weight"] + 1
    state["scale"] = np.ones(2)
    state["other"] = state.pop("first.bias")
    with pytest.raises(
        ValueError, match=r"missing 'first\.bias'.*unknown 'other'.*'scale' has shape"
    ):
        net.load_state_dict(state)
    np.testing.assert_array_equal(net.first.weight.data, before)


def test_functional_call_differentiates_by_the_parameters_and_leaves_the_model_alone():
    net = Net()
    before = net.state_dict()
    loss = lambda p: functional.cross_entropy(nn.functional_call(net, p, X), labels % 2)
    gradients = tg.grad(loss)(net.state_dict())
    functional.cross_entropy(net(X), labels % 2).backward()
    for name, p in net.named_parameters():
        np.testing.assert_allclose(gradients[name], p.grad.data, rtol=1e-5)
        np.testing.assert_array_equal(p.data, before[name])
        assert p.requires_grad
    with pytest.raises(ValueError, match="'nothing' is no parameter"):
        nn.functional_call(net, {"nothing": 1.0}, X)


def test_train_and_eval_reach_every_module():
    net = Net()
    net.eval()
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())


def test_wrong_shapes_and_configurations_say_so():
    with pytest.raises(ValueError, match=r"got x of shape \(2, 7\).*must be 4"):
        nn.Linear(4, 3)(np.ones((2, 7)))
    with pytest.raises(ValueError, match="outputs is a whole number above 0, not 0"):
        nn.Linear(4, 0)
    with pytest.raises(TypeError, match=r"class ReLU; write ReLU\(\)"):
        nn.Sequential(nn.ReLU)
    with pytest.raises(NotImplementedError, match="no forward method"):
        nn.Module()(1)
    with pytest.raises(ValueError, match=r"prediction has shape \(5, 4\) and target \(5,\)"):
        nn.MSELoss()(X, np.ones(5))


def test_an_error_inside_a_model_names_the_module():
    class Broken(nn.Module):
        def __init__(self):
            self.inner = nn.Sequential(nn.Tanh(), lambda x: x @ np.ones((9, 9)))

        def forward(self, x):
            return self.inner(x)

    with pytest.raises(ValueError, match=r"(?s)matmul.*in module Broken > inner \(Sequential\)"):
        Broken()(Tensor(X))


def test_a_list_is_told_to_be_an_array():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    with pytest.raises(AttributeError) as caught:
        model([[1.0, 2.0]])
    (note,) = caught.value.__notes__
    assert "argument 0 is a list; write np.array(...) around it" in note
    assert "in module Sequential > 0 (Linear)" in note
    with pytest.raises(AttributeError) as caught:
        nn.CrossEntropyLoss()([[1.0, 2.0]], [1])
    assert "argument 0 is a list" in caught.value.__notes__[0]


def test_printing_and_summary():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2, bias=False))
    assert repr(model) == (
        "Sequential(\n  (0): Linear(4, 3)\n  (1): ReLU()\n  (2): Linear(3, 2, bias=False)\n)"
    )
    model[0].weight.requires_grad_(False)
    summary = model.summary()
    assert "weight 4x3, bias 3" in summary
    assert "21 parameters" in summary
    assert "12 of them frozen" in summary
    assert len(model[:2]) == 2


def test_functional_call_reads_all_values_before_it_changes_any():
    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False))
    model[0].weight.data, model[1].weight.data = [[2.0]], [[3.0]]
    swapped = {"0.weight": model[1].weight, "1.weight": model[0].weight}
    x = np.ones((1, 1), np.float32)
    np.testing.assert_array_equal(
        nn.functional_call(model[:1], {"0.weight": model[1].weight}, x).data, 3
    )
    np.testing.assert_array_equal(nn.functional_call(model, swapped, x).data, 6)
    np.testing.assert_array_equal(model[0].weight.data, [[2.0]])


def test_functional_call_does_not_write_into_the_callers_buffers():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    values = model.state_dict()
    nn.functional_call(model, values, X)
    np.testing.assert_array_equal(values["1.running_mean"], 0)
    np.testing.assert_array_equal(model[1].running_mean.data, 0)


def test_a_parameter_is_not_replaced_by_a_plain_tensor():
    layer = nn.Linear(2, 2)
    with pytest.raises(TypeError, match=r"write weight\.data = "):
        layer.weight = layer.weight * 2
    layer.weight = nn.Parameter(np.ones((2, 2)))
    model = nn.Sequential(layer)
    setattr(model, "0", nn.Linear(2, 3))
    assert model(np.ones((1, 2))).shape == (1, 3)


def test_a_masked_logit_has_no_loss_and_no_nan():
    logits = Tensor(np.array([[0.0, -np.inf, 1.0]]), requires_grad=True)
    loss = functional.cross_entropy(logits, np.array([0]))
    np.testing.assert_allclose(loss.item(), np.log(1 + np.e))
    loss.backward()
    assert np.isfinite(logits.grad.data).all()


class Holder(nn.Module):
    def __init__(self, held):
        self.held = held


def test_a_module_that_holds_its_parent_can_be_printed():
    child = nn.Sequential(nn.Linear(2, 2))
    parent = Holder(child)
    child.parent = parent
    assert repr(parent).count("Linear(2, 2)") == 1
    assert "(parent): ..." in repr(parent)


@pytest.mark.parametrize(
    "held",
    [
        {"a.weight": nn.Parameter(np.zeros(1)), "a": nn.Linear(1, 1)},
        {1: nn.Linear(1, 1), "1": nn.Linear(1, 1)},
        {"a.x": nn.Buffer(np.zeros(1)), "a": {"x": nn.Parameter(np.zeros(1))}},
    ],
)
def test_two_parameters_of_one_path_are_refused(held):
    model = Holder(held)
    with pytest.raises(ValueError, match=r"have the path 'held\..*rename a key"):
        model.state_dict()
    with pytest.raises(ValueError, match="have the path"):
        model.load_state_dict({})


@pytest.mark.parametrize("bad", [np.array([1 + 1j]), np.array(["x"]), np.array([None])])
def test_a_state_of_other_numbers_changes_nothing(bad):
    model = nn.Linear(2, 1)
    before = model.state_dict()
    with pytest.raises(ValueError, match=r"'bias' is .*, the model float32"):
        model.load_state_dict({"weight": np.full((2, 1), 7.0), "bias": bad})
    np.testing.assert_array_equal(model.weight.data, before["weight"])


def test_a_state_may_hold_tensors_with_a_graph():
    model = nn.Linear(2, 1)
    bias = 3 * Tensor(np.ones(1), requires_grad=True)
    model.load_state_dict({"weight": np.ones((2, 1), int), "bias": bias})
    np.testing.assert_array_equal(model.bias.data, [3])


def test_a_layer_deleted_from_a_sequential_is_not_called():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert model(X[:, :2]).shape == (5, 1)
    delattr(model, "2")
    assert len(model) == 2
    assert model(X[:, :2]).shape == (5, 3)


class FrozenNorm(nn.Module):
    """Keeps its batch normalisation in evaluation, as one does in fine-tuning."""

    def __init__(self):
        self.norm = nn.BatchNorm1d(2)

    def train(self, mode=True):
        super().train(mode)
        self.norm.training = False
        return self


def test_a_module_that_overrides_train_has_the_last_word_on_what_it_holds():
    model = nn.Sequential(nn.Dropout(), Holder(FrozenNorm()), nn.BatchNorm1d(2))
    model.train()
    assert [m.training for m in model.modules()] == [True, True, True, True, False, True]
    model.eval()
    assert not any(m.training for m in model.modules())


def test_a_penalty_takes_a_model():
    with pytest.raises(TypeError, match=r"L2Penalty takes a model, not \[Tensor"):
        nn.L2Penalty(0.1)(nn.Linear(1, 1).parameters())


def test_a_module_dict_is_read_as_a_dictionary_is():
    heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
    heads["b"] = nn.ReLU()
    assert list(heads.items()) == [("a", heads["a"]), ("b", heads["b"])]
    assert list(heads.keys()) == list(heads) == ["a", "b"]
    assert list(heads.values()) == [heads["a"], heads["b"]]
    assert "a" in heads
    assert list(heads.state_dict()) == ["items.a.weight", "items.a.bias"]
    copied = pickle.loads(pickle.dumps(heads))
    np.testing.assert_array_equal(copied["a"].weight.data, heads["a"].weight.data)
    assert repr(copied) == repr(heads)


def test_a_sequential_grows_and_its_layers_can_be_replaced():
    model = nn.Sequential().append(nn.Linear(2, 3)).append(nn.ReLU())
    assert model(X[:, :2]).shape == (5, 3)
    model.append(nn.Linear(3, 4))[-1] = nn.Linear(3, 1)
    assert model(X[:, :2]).shape == (5, 1)
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    delattr(model, "1")
    model.append(nn.Tanh())
    assert [type(layer).__name__ for layer in model] == ["Linear", "Linear", "Tanh"]
    assert [name for name, _ in model.named_modules()] == ["", "0", "2", "3"]
    with pytest.raises(TypeError, match="class ReLU"):
        model.append(nn.ReLU)
    with pytest.raises(TypeError, match="class ReLU"):
        model[0] = nn.ReLU
    with pytest.raises(IndexError):
        model[3] = nn.ReLU()
