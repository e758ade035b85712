"""A small convolutional network on the shipped images."""

from tinygrad_fm import data, nn, optim, train

images = data.load("fashion-mnist-mini")
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, padding="same", rng=0),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Conv2d(8, 16, 3, padding="same", rng=1),
    nn.ReLU(),
    nn.MaxPool2d(2),
    nn.Flatten(),
    nn.Linear(16 * 7 * 7, 10, rng=2),
)
print(model.summary())
# images (N, 28, 28) get a channel axis: (N, 1, 28, 28)
batches = data.Loader(
    images.train_images[:, None], images.train_labels, batch_size=32, flatten=False, seed=0
)
train.fit(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=2e-3), batches, epochs=1)
test = data.scale(images.test_images[:, None])
loss, accuracy = train.evaluate(model, nn.CrossEntropyLoss(), test, images.test_labels)
print(f"test accuracy after one epoch: {accuracy:.0%}")
assert accuracy > 0.6
