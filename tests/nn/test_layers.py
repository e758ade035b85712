"""Every layer and loss against its formula, differences, and PyTorch where that is installed."""

import numpy as np
import pytest
from layer_cases import CONTAINERS, LAYERS, LOSSES, ROWS

import tinygrad_fm as tg
from tinygrad_fm import Tensor, nn
from tinygrad_fm.testing import check_grads

ALL = {**LAYERS, **LOSSES}
each = pytest.mark.parametrize(
    "case", [pytest.param(c, id=f"{name}{i}") for name, cs in ALL.items() for i, c in enumerate(cs)]
)


def test_every_layer_and_loss_has_a_case():
    kinds = {k for k, v in vars(nn).items() if isinstance(v, type) and issubclass(v, nn.Module)}
    assert kinds - {"Module"} == set(ALL) | CONTAINERS


def call(layer, case, x):
    if case.target is None:
        return layer(x)
    floats = case.target.dtype.kind == "f"
    return layer(x, case.target.astype(x.dtype) if floats else case.target)


@each
def test_a_layer_is_its_formula(case):
    layer = case.make()
    expected = case.formula(layer, case.x)
    np.testing.assert_allclose(call(layer, case, Tensor(case.x)).data, expected, atol=1e-12)


@each
def test_gradients_agree_with_differences_to_second_order(case):
    if not case.smooth:
        pytest.skip("the case is about points without a derivative")
    layer = case.make()
    state = layer.state_dict()
    names = [name for name, _ in layer.named_parameters()]

    def function(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        args = (x,) if case.target is None else (x, case.target)
        return np.mean(nn.functional_call(layer, given, *args) ** 2)

    check_grads(function, case.x, *(state[name] for name in names), elements=8, rtol=1e-5)


@each
def test_float32_stays_float32(case):
    layer = case.make()
    for p in layer.parameters():
        p._array = p.data.astype(np.float32)
        p.requires_grad_(False).requires_grad_()
    for b in layer.named_buffers():
        b[1]._array = b[1].data.astype(np.float32)
    x = case.x.astype(np.float32) if case.x.dtype.kind == "f" else case.x
    x = Tensor(x, requires_grad=x.dtype.kind == "f")
    y = call(layer, case, x)
    assert y.dtype == np.float32
    y.sum().backward() if y.requires_grad else None
    assert all(t.grad.dtype == np.float32 for t in [x, *layer.parameters()] if t.requires_grad)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@each
def test_a_layer_agrees_with_pytorch(case):
    torch = pytest.importorskip("torch", reason="compares with PyTorch where it is installed")
    if case.peer is None:
        pytest.skip("PyTorch has no such layer")
    ours, peer = case.make(), case.peer(torch)
    with torch.no_grad():
        for p, q in zip(ours.parameters(), peer.parameters(), strict=True):
            p._array = p.data.astype(np.float32)
            p.requires_grad_(False).requires_grad_()
            q.copy_(torch.tensor(p.data.T if isinstance(ours, nn.Linear) else p.data))
    for _, b in ours.named_buffers():
        b._array = b.data.astype(np.float32)
    floats = case.x.dtype.kind == "f"
    raw = case.x.astype(np.float32) if floats else case.x
    x, z = Tensor(raw, requires_grad=floats), torch.tensor(raw, requires_grad=floats)
    y = call(ours, case, x)
    if case.target is None:
        w = peer(z)
    else:
        target = torch.tensor(case.target)
        w = peer(z, target.float() if target.dtype == torch.float64 else target)
    atol = 1e-5 if isinstance(ours, nn.Conv2d) else 1e-6  # the error of its fast ways
    np.testing.assert_allclose(y.data, w.detach().numpy(), rtol=1e-5, atol=atol)
    direction = np.linspace(0.5, 1.5, y.size, dtype=np.float32).reshape(y.shape)
    y.backward(direction)
    w.backward(torch.tensor(direction))
    pairs = list(zip(ours.parameters(), peer.parameters(), strict=True))
    for p, q in [*pairs, (x, z)] if floats else pairs:
        transposed = isinstance(ours, nn.Linear) and p is ours.weight
        theirs = q.grad.numpy().T if transposed else q.grad.numpy()
        np.testing.assert_allclose(p.grad.data, theirs, rtol=1e-4, atol=1e-5)
    for (_, b), q in zip(ours.named_buffers(), peer.buffers(), strict=False):
        np.testing.assert_allclose(b.data, q.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, cases in LOSSES.items() if cases])
def test_reductions_of_a_loss(name):
    case = LOSSES[name][0]
    kind = type(case.make())
    each_loss = kind(reduction="none")(case.x, case.target)
    np.testing.assert_allclose(kind(reduction="sum")(case.x, case.target), np.sum(each_loss))
    np.testing.assert_allclose(kind()(case.x, case.target), np.mean(each_loss))
    with pytest.raises(ValueError, match="reduction must be one of"):
        kind(reduction="median")(case.x, case.target)


# ---- layers that behave differently in training ------------------------------------------------


def test_batch_norm_moves_its_statistics_and_uses_them_in_evaluation():
    layer = nn.BatchNorm1d(4, dtype=np.float64)
    layer(ROWS)
    np.testing.assert_allclose(layer.running_mean.data, 0.1 * ROWS.mean(axis=0))
    variance = 0.9 + 0.1 * ROWS.var(axis=0, ddof=1)
    np.testing.assert_allclose(layer.running_variance.data, variance)
    layer.eval()
    expected = (ROWS - layer.running_mean.data) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer(ROWS).data, expected)
    np.testing.assert_allclose(layer.running_variance.data, variance)


def test_running_statistics_are_saved_but_not_learned():
    model = nn.Sequential(nn.Linear(4, 4, rng=0), nn.BatchNorm1d(4))
    assert [n for n, _ in model.named_buffers()] == ["1.running_mean", "1.running_variance"]
    assert {"1.running_mean", "1.weight"} <= set(model.state_dict())
    assert len(model.parameters()) == 4
    model(ROWS)
    other = nn.Sequential(nn.Linear(4, 4, rng=1), nn.BatchNorm1d(4))
    other.load_state_dict(model.state_dict())
    np.testing.assert_array_equal(other.eval()(ROWS).data, model.eval()(ROWS).data)


def test_a_batch_norm_in_two_places_is_refused():
    shared = nn.BatchNorm1d(4)
    with pytest.raises(ValueError, match="stands there already"):
        nn.Sequential(shared, nn.ReLU(), shared)

    class Twice(nn.Module):
        def __init__(self):
            self.norm = shared

        def forward(self, x):
            return self.norm(self.norm(x))

    with pytest.raises(RuntimeError, match="called twice in one forward pass"):
        Twice()(ROWS)
    assert Twice().eval()(ROWS).shape == ROWS.shape
    nn.Sequential(relu := nn.ReLU(), relu)(ROWS)  # without state there is nothing to mix


def test_dropout_zeroes_a_share_and_keeps_the_mean():
    layer = nn.Dropout(0.3, rng=0)
    x = Tensor(np.ones((1000, 100)), requires_grad=True)
    y = layer(x)
    np.testing.assert_allclose(np.mean(y.data == 0), 0.3, atol=0.01)
    assert set(np.unique(y.data)) == {0, 1 / 0.7}
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, y.data)
    assert np.all(layer.eval()(x).data == 1)


def test_dropout_with_one_seed_gives_the_same_bits():
    draws = [nn.Dropout(0.5, rng=3)(Tensor(ROWS)).data for _ in range(2)]
    np.testing.assert_array_equal(*draws)


def test_a_frozen_model_learns_nothing():
    model = nn.Sequential(nn.Linear(4, 3, rng=0), nn.Linear(3, 2, rng=1))
    model[0].freeze()
    model(Tensor(ROWS)).sum().backward()
    assert [p.grad is None for p in model.parameters()] == [True, True, False, False]
    model[0].freeze(False)
    assert all(p.requires_grad for p in model.parameters())


def test_penalties_say_what_they_mean_and_leave_biases_alone():
    model = nn.Linear(4, 3, rng=0, dtype=np.float64)
    w = model.weight.data
    model.bias.data = np.ones(3)
    np.testing.assert_allclose(nn.L2Penalty(0.1)(model).data, 0.1 * np.sum(w * w))
    np.testing.assert_allclose(nn.L2Penalty(0.1, half=True)(model).data, 0.05 * np.sum(w * w))
    np.testing.assert_allclose(nn.L1Penalty(0.1)(model).data, 0.1 * np.sum(np.abs(w)))
    np.testing.assert_allclose(
        nn.L1Penalty(0.1, biases=True)(model).data, 0.1 * (np.sum(np.abs(w)) + 3)
    )
    nn.L2Penalty(0.1)(model).backward()
    np.testing.assert_allclose(model.weight.grad.data, 0.2 * w)
    assert model.bias.grad is None
    assert nn.L2Penalty(0.1)(nn.ReLU()) == 0.0
    with pytest.raises(ValueError, match="strength is at least 0, not -1"):
        nn.L2Penalty(-1)


def test_containers_are_searched():
    class Net(nn.Module):
        def __init__(self):
            self.layers = nn.ModuleList([nn.Linear(2, 2)]).append(nn.Linear(2, 2))
            self.heads = nn.ModuleDict({"a": nn.Linear(2, 1)})
            self.heads["b"] = nn.Linear(2, 1)

    net = Net()
    assert len(net.parameters()) == 8
    assert len(net.layers) == len(net.heads) == 2
    assert list(net.heads) == ["a", "b"]
    assert [type(m).__name__ for m in net.layers] == ["Linear", "Linear"]
    with pytest.raises(TypeError, match="class ReLU"):
        nn.ModuleList([nn.ReLU])


WRONG = [
    (lambda: nn.Conv2d(3, 4, 3)(np.ones((2, 28, 28))), r"shape \(N, C, H, W\), not \(2, 28, 28\)"),
    (lambda: nn.Conv2d(3, 4, 3)(np.ones((2, 1, 28, 28))), "images of 1 channels"),
    (lambda: nn.Conv2d(1, 4, 5)(np.ones((1, 1, 3, 3))), "does not fit into an image of 3 by 3"),
    (lambda: nn.Conv2d(3, 4, 3, groups=2), "divisible by groups"),
    (lambda: nn.Conv2d(1, 4, 0), "kernel_size is one whole number of at least 1"),
    (lambda: nn.Conv2d(1, 4, 3, padding="smae"), "'same' or 'valid', not 'smae'"),
    (lambda: nn.Flatten()(np.array(1.0)), "not a single number"),
    (lambda: nn.LayerNorm(()), r"above 0, not \(\)"),
    (lambda: nn.BatchNorm1d(2.5), "features is a whole number above 0, not 2.5"),
    (lambda: nn.MaxPool2d(4)(np.ones((1, 1, 3, 3))), "does not fit into 3 by 3"),
    (lambda: nn.MaxPool2d(2, padding=2)(np.ones((1, 1, 3, 3))), "more than half"),
    (
        lambda: nn.BatchNorm1d(4)(np.ones((2, 5))),
        r"BatchNorm1d\(4\) takes 2 or 3 axes, the second of length 4; not shape \(2, 5\)",
    ),
    (lambda: nn.BatchNorm2d(4)(np.ones((2, 4))), r"takes 4 axes, the second of length 4; not"),
    (lambda: nn.BatchNorm1d(4)(np.ones((1, 4))), "more than one value"),
    (lambda: nn.BatchNorm2d(0), "features"),
    (lambda: nn.BatchNorm2d(2, momentum=None), "momentum is between 0 and 1, not None"),
    (lambda: nn.BatchNorm2d(2, eps=-1), "eps is at least 0, not -1"),
    (lambda: nn.LayerNorm(2, eps=-1), "eps is at least 0, not -1"),
    (lambda: nn.LayerNorm(4)(np.ones((2, 3))), "ends otherwise"),
    (lambda: nn.Dropout(1.0), "below 1, not 1.0"),
    (lambda: nn.GELU("fast"), "'none' or 'tanh'"),
    (lambda: nn.Embedding(3, 2)(np.array([3])), "got 3; they are 0 to 2"),
    (lambda: nn.HingeLoss()(ROWS, ROWS * 0), "write 2 . t - 1"),
    (lambda: nn.BCELoss()(ROWS, ROWS * 0), "with_logits"),
    (lambda: nn.BCEWithLogitsLoss()(ROWS, ROWS), "target lies between 0 and 1"),
    (lambda: nn.HuberLoss(0)(ROWS, ROWS), "delta is above 0"),
    (
        lambda: nn.CrossEntropyLoss(weight=np.ones(3))(ROWS, np.zeros(5, int)),
        "one for each class",
    ),
    (lambda: nn.CrossEntropyLoss(label_smoothing=2)(ROWS, np.zeros(5, int)), "between 0 and 1"),
]


@pytest.mark.parametrize(("make", "message"), WRONG)
def test_wrong_configurations_say_so(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_evaluation_mode_has_no_effect_on_other_layers():
    layer = nn.Linear(4, 3, rng=0)
    np.testing.assert_array_equal(layer(ROWS).data, layer.eval()(ROWS).data)


def test_erf_is_right_to_the_last_digits():
    import math

    x = np.concatenate([np.linspace(-7, 7, 2001), np.logspace(-300, 0, 100)])
    expected = np.array([math.erf(v) for v in x])
    np.testing.assert_allclose(tg.functional.erf(x), expected, rtol=1e-15)


def test_erf_in_single_precision_is_right_to_the_last_but_one():
    import math

    x = np.concatenate([np.linspace(-7, 7, 40_001), np.logspace(-37, 0, 100), [np.inf, -np.inf]])
    x = x.astype(np.float32)
    expected = np.array([math.erf(v) for v in x.tolist()])
    np.testing.assert_allclose(tg.functional.erf(x), expected, rtol=3e-7)
    assert np.isnan(tg.functional.erf(np.float32(np.nan)))


@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_gelu_of_a_long_array_is_that_of_its_elements(order):
    x = np.random.default_rng(0).normal(size=(300, 200))
    laid = {"C": x, "F": np.asfortranarray(x), "strided": np.repeat(x, 2, axis=1)[:, ::2]}[order]
    expected = np.stack([tg.functional.gelu(row) for row in x])
    np.testing.assert_allclose(tg.functional.gelu(laid), expected, rtol=1e-15, atol=0)


def test_dropout_draws_from_a_generator_of_old_too():
    x = np.ones((100, 100), np.float32)
    y = nn.Dropout(0.25, rng=np.random.RandomState(0))(x)
    assert y.dtype == np.float32
    assert np.mean(y == 0) == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(y, nn.Dropout(0.25, rng=np.random.RandomState(0))(x))


def test_padding_may_be_called_valid():
    x = np.ones((1, 1, 5, 5), np.float32)
    assert nn.Conv2d(1, 2, 3, padding="valid")(x).shape == (1, 2, 3, 3)
    assert tg.functional.conv2d(x, x[..., :3, :3], padding="valid").shape == (1, 1, 3, 3)


def test_a_batch_without_examples_keeps_its_shapes():
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3, rng=0),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, rng=0),
    )
    y = model(Tensor(np.zeros((0, 1, 8, 8), np.float32)))
    assert y.shape == (0, 3)
    y.sum().backward()
    assert model[0].weight.grad.data.any() == 0


def test_sizes_may_be_numpys_integers():
    assert nn.LayerNorm(np.int64(4)).weight.shape == (4,)


def test_examples_of_classes_that_weigh_nothing_cost_nothing():
    logits = Tensor(np.zeros((2, 3)), requires_grad=True)
    loss = nn.CrossEntropyLoss(weight=[0, 1, 1])(logits, np.zeros(2, int))
    loss.backward()
    assert loss.item() == 0
    np.testing.assert_array_equal(logits.grad.data, 0)
