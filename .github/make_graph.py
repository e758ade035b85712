"""Draws the README's picture, graph.svg beside this file: the loss of the three-layer network."""

from pathlib import Path

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import nn

model = nn.Sequential(
    nn.Linear(784, 128, rng=0),
    nn.ReLU(),
    nn.Linear(128, 64, rng=1),
    nn.ReLU(),
    nn.Linear(64, 10, rng=2),
)
images, labels = np.zeros((32, 784), np.float32), np.zeros(32, int)
loss = nn.CrossEntropyLoss()(model(images), labels)
tg.draw(loss, direction="LR").save(Path(__file__).with_name("graph.svg"))
