"""evaluate and predict: the numbers, bounded memory, modes that come back, and what they refuse."""

import numpy as np
import pytest

from tinygrad_fm import Tensor, data, is_grad_enabled, nn, train

LOSS = nn.CrossEntropyLoss()


def test_batches_give_the_numbers_of_the_whole(make_model, blobs):
    x, y = blobs
    model = make_model()
    logits = model(x)
    loss, accuracy = train.evaluate(model, LOSS, x, y, batch_size=50)
    assert loss == pytest.approx(LOSS(logits, y).item(), rel=1e-6)
    assert accuracy == train.accuracy(logits, y)
    outputs = train.predict(model, x, batch_size=50)
    np.testing.assert_allclose(outputs, logits.data, rtol=1e-5, atol=1e-6)
    assert type(outputs) is np.ndarray


def test_a_loader_is_measured_too(make_model, blobs):
    model = make_model()
    loader = data.Loader(*blobs, batch_size=50, shuffle=False)
    assert train.evaluate(model, LOSS, loader) == train.evaluate(model, LOSS, *blobs, batch_size=50)


def test_tensors_are_measured_too(make_model, blobs):
    x, y = blobs
    model = make_model()
    assert train.evaluate(model, LOSS, Tensor(x), y) == train.evaluate(model, LOSS, x, y)


def test_only_a_batch_at_a_time_is_computed_and_nothing_recorded(blobs):
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append((len(x), self.training, is_grad_enabled(), x.node))
            return x

    model = Watch()
    train.predict(model, blobs[0], batch_size=50)
    train.evaluate(model, LOSS, *blobs, batch_size=100)
    assert seen == [(n, False, False, None) for n in (50, 50, 20, 100, 20)]
    assert model.training
    assert is_grad_enabled()


def test_every_module_gets_its_own_mode_back(make_model, blobs):
    model = make_model()
    model[0].eval()

    def fail(prediction, labels):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        train.evaluate(model, fail, *blobs)
    train.evaluate(model, LOSS, *blobs)
    assert [module.training for module in model] == [False, True, True]


def test_targets_that_are_no_classes_have_no_accuracy(blobs):
    x, _ = blobs
    assert train.evaluate(lambda x: x, nn.MSELoss(), x, x) == (0.0, None)
    soft = np.full((120, 4), 0.25, np.float32)
    assert train.evaluate(lambda x: x, LOSS, x, soft)[1] is None


@pytest.mark.parametrize(
    ("x", "y", "options", "error", "message"),
    [
        (np.zeros((0, 4)), np.zeros(0, int), {}, ValueError, r"x has shape \(0, 4\) and y \(0,\)"),
        (np.zeros((3, 4)), np.zeros(2, int), {}, ValueError, r"x has shape \(3, 4\) and y \(2,\)"),
        (np.zeros((3, 4)), None, {}, ValueError, r"evaluate\(model, loss, x, y\)"),
        (np.zeros((3, 4), np.uint8), np.zeros(3, int), {}, TypeError, r"write data.scale\(x\)"),
        (np.zeros((3, 4)), np.zeros(3, int), {"batch_size": 0}, ValueError, "batch_size is at lea"),
        ([], None, {}, ValueError, "evaluate got no examples"),
    ],
)
def test_evaluate_refuses(make_model, x, y, options, error, message):
    with pytest.raises(error, match=message):
        train.evaluate(make_model(), LOSS, x, y, **options)


def test_predict_refuses(make_model):
    with pytest.raises(ValueError, match="predict: x has shape"):
        train.predict(make_model(), np.zeros((0, 4)))
    with pytest.raises(TypeError, match="predict: x is uint8"):
        train.predict(make_model(), np.zeros((3, 4), np.uint8))


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("logits", lambda logits: logits),
        ("probabilities", lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)),
        ("classes", lambda logits: logits.argmax(axis=1)),
    ],
)
def test_predict_gives_logits_probabilities_or_classes(make_model, blobs, output, expected):
    x, _ = blobs
    model = make_model()
    found = train.predict(model, x, batch_size=50, output=output)
    np.testing.assert_allclose(found, expected(model(x).data), rtol=1e-5, atol=1e-6)


def test_predict_refuses_another_output(make_model, blobs):
    with pytest.raises(ValueError, match="one of logits, probabilities, classes, not 'labels'"):
        train.predict(make_model(), blobs[0], output="labels")
    with pytest.raises(ValueError, match=r"gave shape \(120,\) for 120 examples; for classes it"):
        train.predict(lambda x: x[:, 0], blobs[0], output="classes")


def test_activations_are_what_each_layer_gives(make_model, blobs):
    x = blobs[0][:7]
    model = make_model()
    found = train.activations(model, x)
    assert list(found) == ["0 (Linear)", "1 (ReLU)", "2 (Linear)"]
    np.testing.assert_array_equal(found["1 (ReLU)"], np.maximum(found["0 (Linear)"], 0))
    np.testing.assert_array_equal(found["2 (Linear)"], train.predict(model, x))
    assert model.training
    with pytest.raises(TypeError, match=r"of an nn\.Sequential, not a Linear"):
        train.activations(model[0], x)
