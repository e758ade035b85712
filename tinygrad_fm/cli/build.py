"""Model, optimizer and callbacks of the settings of a run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from tinygrad_fm import data, nn, optim, train
from tinygrad_fm.cli.settings import Settings, schedule_parts

ACTIVATIONS: dict[str, type[nn.Module]] = {  # by the names that settings.py knows
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}


def build_model(
    settings: Settings, image_shape: tuple[int, ...], classes: int
) -> tuple[nn.Sequential, str]:
    """The network of the settings for images of a shape, and its name, such as 784-128-64-10.

    An mlp is Linear layers with an activation between them; a cnn begins with 3x3 convolutions,
    each followed by an activation and 2x2 max pooling. Batch normalisation comes before each
    activation, dropout before each Linear layer but one that is given the images.

    Raises:
        ValueError: images too small for the poolings.
    """
    rng = np.random.default_rng(settings.seed)
    # apart from that of the weights, so that dropout does not change where they begin
    dropped = np.random.default_rng([settings.seed, 1])
    activation = ACTIVATIONS[settings.activation]
    layers: list[nn.Module] = []
    words: list[str] = []
    inputs = int(np.prod(image_shape))
    if settings.model == "cnn":
        inputs = _convolutions(settings, image_shape, layers, words, rng)
    sizes = [inputs, *settings.hidden, classes]
    for i, (before, after) in enumerate(itertools.pairwise(sizes), 1):
        last = i == len(sizes) - 1
        if settings.dropout and (i > 1 or settings.model == "cnn"):
            layers.append(nn.Dropout(settings.dropout, rng=dropped))
        layers.append(nn.Linear(before, after, rng=rng))
        if not last:
            if settings.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(activation())
    return nn.Sequential(*layers), "-".join([*words, *map(str, sizes)])


def _convolutions(
    settings: Settings,
    image_shape: tuple[int, ...],
    layers: list[nn.Module],
    words: list[str],
    rng: np.random.Generator,
) -> int:
    """Append the convolutional part; returns the numbers it gives for an image."""
    height, width = image_shape[-2:]
    channels = [1, *(settings.channels or ())]
    for before, after in itertools.pairwise(channels):
        layers.append(nn.Conv2d(before, after, 3, padding="same", rng=rng))
        if settings.batch_norm:
            layers.append(nn.BatchNorm2d(after))
        layers += [ACTIVATIONS[settings.activation](), nn.MaxPool2d(2)]
        height, width = height // 2, width // 2
        words.append(f"conv{after}")
        if not height * width:
            raise ValueError(
                f"images of {'x'.join(map(str, image_shape))} are too small for "
                f"{len(channels) - 1} poolings"
            )
    layers.append(nn.Flatten())
    return channels[-1] * height * width


def model_input(settings: Settings, images: Any) -> Any:
    """Images, (N, H, W), uint8 or from 0 to 1, as the network takes them, float32."""
    x = data.scale(images) if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
    return x[:, None] if settings.model == "cnn" else data.flatten(x)


def build_loader(settings: Settings, images: Any, labels: Any, **options: Any) -> data.Loader:
    """Batches as the network takes them."""
    convolutional = settings.model == "cnn"
    return data.Loader(
        images[:, None] if convolutional else images,
        labels,
        flatten=not convolutional,
        seed=settings.seed,
        **options,
    )


def build_optimizer(settings: Settings, model: nn.Module) -> optim.Optimizer:
    """The optimizer of the settings, for all of the model's parameters."""
    parameters, lr = model.parameters(), settings.lr
    match settings.optimizer:
        case "sgd":
            return optim.SGD(parameters, lr, settings.momentum or 0.0)
        case "adamw":
            return optim.AdamW(parameters, lr, weight_decay=settings.weight_decay or 0.0)
        case "rmsprop":
            return optim.RMSprop(parameters, lr)
        case "adagrad":
            return optim.Adagrad(parameters, lr)
        case _:
            return optim.Adam(parameters, lr)


def build_callbacks(settings: Settings, batches: int) -> list[train.Callback]:
    """The callbacks of the settings, for a loader of so many batches."""
    callbacks: list[train.Callback] = [train.MovingAverage(100)]
    name, numbers = schedule_parts(settings.schedule)
    lr, steps = settings.lr, settings.epochs * batches
    match name:
        case "step":
            callbacks.append(train.ScheduleLR(optim.schedule.step(lr, int(numbers[0]), numbers[1])))
        case "exponential":
            callbacks.append(train.ScheduleLR(optim.schedule.exponential(lr, numbers[0])))
        case "cosine":
            callbacks.append(train.ScheduleLR(optim.schedule.cosine(lr, steps), per="step"))
        case "warmup":
            rise = int(numbers[0])
            then = optim.schedule.cosine(lr, max(steps - rise, 1))
            callbacks.append(train.ScheduleLR(optim.schedule.warmup(rise, then), per="step"))
        case "one-cycle":
            callbacks.append(train.ScheduleLR(optim.schedule.one_cycle(lr, steps), per="step"))
        case "drop":
            callbacks.append(train.ReduceOnDrop(numbers[0]))
        case _:
            pass
    if settings.early_stopping is not None:
        callbacks.append(train.EarlyStopping(settings.early_stopping))
    return callbacks
