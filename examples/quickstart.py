"""The first twenty lines: a derivative, a network that learns, and its graph."""

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import data, nn, optim, train

x = tg.Tensor([-1.0, 0.0, 2.0], requires_grad=True)
np.sum(np.tanh(x) ** 2).backward()  # your own NumPy, recorded
print(x.grad)
print(tg.grad(tg.grad(lambda v: v**3))(2.0))  # a function's second derivative

images = data.load("fashion-mnist-mini")  # 6,000 images of clothes, always there
model = nn.Sequential(nn.Linear(784, 64, rng=0), nn.ReLU(), nn.Linear(64, 10, rng=1))
batches = data.Loader(images.train_images, images.train_labels, batch_size=32, seed=0)
test = data.flatten(data.scale(images.test_images)), images.test_labels  # as the Loader does it
optimizer = optim.Adam(model.parameters(), lr=1e-3)
train.fit(model, nn.CrossEntropyLoss(), optimizer, batches, epochs=5, progress=False)
loss, accuracy = train.evaluate(model, nn.CrossEntropyLoss(), *test)
print(f"test accuracy after five epochs: {accuracy:.0%}")

loss = nn.CrossEntropyLoss()(model(test[0]), test[1])
tg.draw(loss).save("loss.html")  # or .svg, .png, .json, .mmd, .txt, .dot
