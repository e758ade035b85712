"""Report 000's sanity check, trained on our autograd, gives the report's own digits."""

import numpy as np
import pytest

from tinygrad_fm import data, functional, nn, optim
from tinygrad_fm.data import DatasetNotFoundError

# experiment Z1: 500 images, 2,000 iterations, ten "epochs" of 200 iterations
TRAIN_ACCURACY = [0.110, 0.704, 0.820, 0.902, 0.944, 0.960, 0.976, 0.994, 0.998, 1.000, 1.000]
TEST_ACCURACY = [
    0.1042, 0.6498, 0.7083, 0.7560, 0.7692, 0.7741, 0.7717, 0.7758, 0.7767, 0.7750, 0.7773,
]  # fmt: skip
LOSS = {1: 2.363608, 501: 0.466822, 1001: 0.234394, 1501: 0.153984}
REGULARIZATION, LEARNING_RATE, DECAY, BATCH = 1e-2, 1e-3, 0.9, 64


@pytest.fixture(scope="module")
def images():
    try:
        found = data.load("fashion-mnist")
    except DatasetNotFoundError:
        pytest.skip("needs the full Fashion-MNIST (Debian: apt install dataset-fashion-mnist)")
    flat = [
        i.reshape(len(i), -1).astype(np.float64) for i in (found.train_images, found.test_images)
    ]
    return flat[0][:500], found.train_labels[:500], flat[1], found.test_labels


def accuracy(model, x, y):
    return np.mean(model(x).data.argmax(axis=1) == y)


def test_sanity_check_gives_the_digits_of_the_report(images):
    x, y, x_test, y_test = images
    np.random.seed(419)  # noqa: NPY002  (the report draws from NumPy's legacy generator)
    options = {"rng": nn.init.legacy(), "weight_init": nn.init.normal, "dtype": np.float64}
    sizes = [(784, 128), (128, 64), (64, 10)]
    first, second, third = (nn.Linear(*size, **options) for size in sizes)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
    weights = [layer.weight for layer in (first, second, third)]
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE)
    train_accuracy, test_accuracy, losses = [], [], {}
    for iteration in range(1, 2001):
        batch = np.random.choice(np.arange(500), BATCH, replace=False)  # noqa: NPY002
        cross_entropy = functional.cross_entropy(model(x[batch]), y[batch])
        # the report logs the norm but descends the gradient of its square
        norms = sum(np.linalg.norm(w.data) for w in weights)
        losses[iteration] = cross_entropy.item() + REGULARIZATION * norms
        penalty = sum((w * w).sum() for w in weights)
        optimizer.zero_grad()
        (cross_entropy + REGULARIZATION * penalty).backward()
        optimizer.step()
        if iteration % 200 == 0:
            optimizer.lr *= DECAY
        if iteration == 1 or iteration % 200 == 0:
            train_accuracy.append(accuracy(model, x, y))
            test_accuracy.append(accuracy(model, x_test, y_test))
    assert [round(a, 3) for a in train_accuracy] == TRAIN_ACCURACY
    assert [round(a, 4) for a in test_accuracy] == TEST_ACCURACY
    assert {i: round(losses[i], 6) for i in LOSS} == LOSS
