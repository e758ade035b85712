"""Gradient accumulation: the update of one batch that is as many times as large."""

import numpy as np
import pytest

from tinygrad_fm import nn, optim, train


def run(make_model, batches, epochs=3, **options):
    model = make_model()
    optimizer = optim.SGD(model.parameters(), 0.1, momentum=0.9)
    steps = []

    class Count(train.Callback):
        def on_batch_end(self, state):
            steps.append(state.step)

    history = train.fit(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        batches,
        epochs=epochs,
        callbacks=[Count()],
        progress=False,
        **options,
    )
    return model.state_dict(), history, steps


def joined(batches, size):
    return [
        tuple(np.concatenate(arrays) for arrays in zip(*batches[i : i + size], strict=True))
        for i in range(0, len(batches), size)
    ]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_it_is_the_update_of_a_larger_batch(make_model, batches, size):
    """Also with 4, which leaves two of the six batches for the last update."""
    weights, history, _ = run(make_model, batches, accumulate=size)
    expected, larger, _ = run(make_model, joined(batches, size))
    for name, values in expected.items():
        np.testing.assert_allclose(weights[name], values, rtol=1e-5, atol=1e-6)
    assert history["train_loss"] == pytest.approx(larger["train_loss"], rel=1e-5)


def test_examples_count_alike_in_batches_of_different_sizes(make_model, blobs):
    x, y = blobs
    uneven = [(x[:70], y[:70]), (x[70:], y[70:])]
    weights, *_ = run(make_model, uneven, accumulate=2)
    expected, *_ = run(make_model, [(x, y)])
    np.testing.assert_allclose(weights["0.weight"], expected["0.weight"], rtol=1e-5, atol=1e-6)


def test_batches_are_counted_and_updates(make_model, batches):
    _, history, steps = run(make_model, batches, epochs=1, accumulate=4)
    assert steps == [0, 0, 0, 1, 1, 2]
    assert len(history.batch_losses) == 6


def test_one_at_a_time_is_the_plain_loop_bit_for_bit(make_model, batches):
    weights, *_ = run(make_model, batches, accumulate=1)
    expected, *_ = run(make_model, batches)
    assert weights["0.weight"].tobytes() == expected["0.weight"].tobytes()


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1.5, TypeError)])
def test_another_number_is_refused(make_model, batches, value, error):
    with pytest.raises(error, match="accumulate is "):
        run(make_model, batches, accumulate=value)
