"""From the derivative of a number to a network that is trained and drawn, cell by cell.

Open it in an editor that knows `# %%` cells (VS Code, Spyder, PyCharm, Jupyter with jupytext) and
run one after the other, or all at once with python. It needs the extra `plot` for its pictures.
"""

# %% [markdown]
# # 1. The derivative of a number
#
# A function of NumPy is differentiated as it stands. `tg.grad` makes a new function of it: its
# derivative, which can be differentiated again.

# %%
import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import data, nn, optim, plots, train


def f(x):
    return np.sin(x) * x**2


slope = tg.grad(f)
print("f'(2) =", slope(2.0), "  on paper:", np.cos(2.0) * 4 + np.sin(2.0) * 4)
print("f''(2) =", tg.grad(slope)(2.0))

# %% [markdown]
# # 2. What is recorded
#
# A `Tensor` is an array that remembers how it was made. From the last result, `backward` goes
# through that graph in reverse, and every operation hands on the gradient by the chain rule.

# %%
x = tg.Tensor(2.0, requires_grad=True, name="x")
y = np.sin(x) * x**2
y.backward()
print("the same derivative:", x.grad)
tg.draw(y).save("f.html")  # open it: each box is an operation, with its shape
print(tg.draw(y).to_text())

# %% [markdown]
# # 3. Down a hill
#
# The gradient points uphill. A step against it makes the function smaller; many steps find a
# minimum. That is all that training is.

# %%
x = tg.Tensor(3.0, requires_grad=True)
for step in range(30):
    x.grad = None
    y = (x - 1) ** 2 + 0.5 * np.cos(3 * x)
    y.backward()
    with tg.no_grad():
        x -= 0.1 * x.grad
    if step % 10 == 0:
        print(f"step {step}: f({x.item():.3f}) = {y.item():.3f}")
assert abs(tg.grad(lambda x: (x - 1) ** 2 + 0.5 * np.cos(3 * x))(x.item())) < 0.01

# %% [markdown]
# # 4. A layer
#
# A linear layer multiplies rows of numbers by a matrix. Its gradients were derived on paper a long
# time ago: with the gradient dy of the result, dx = dy wᵀ, dw = xᵀ dy, and db sums the rows of dy.

# %%
rng = np.random.default_rng(0)
x, w, b = rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), np.zeros(2)
dy = rng.normal(size=(4, 2))
_, pull = tg.vjp(lambda x, w, b: x @ w + b, x, w, b)
dx, dw, db = pull(dy)
np.testing.assert_allclose(dx, dy @ w.T)
np.testing.assert_allclose(dw, x.T @ dy)
np.testing.assert_allclose(db, dy.sum(axis=0))
print("autograd agrees with the paper")

# %% [markdown]
# # 5. Images of clothes
#
# 6,000 of them come with the library, with ten classes. A network gives ten scores for each; the
# cross-entropy says how far the right class is from being the only one.

# %%
images = data.load("fashion-mnist-mini")
print(images)
model = nn.Sequential(nn.Linear(784, 64, rng=0), nn.ReLU(), nn.Linear(64, 10, rng=1))
print(model.summary())
criterion = nn.CrossEntropyLoss()
batches = data.Loader(images.train_images, images.train_labels, batch_size=32, seed=0)
x, labels = next(iter(batches))
loss = criterion(model(x), labels)
print(f"untrained: loss {loss.item():.2f}; guessing has log(10) = {np.log(10):.2f}")
tg.draw(loss).save("loss.html")

# %% [markdown]
# # 6. Training
#
# The same three lines for every batch: forget the old gradients, go back through the graph, take a
# step. `train.fit` is this loop with a history.

# %%
optimizer = optim.Adam(model.parameters(), lr=1e-3)
for x, labels in batches:
    optimizer.zero_grad()
    criterion(model(x), labels).backward()
    optimizer.step()

test = data.flatten(data.scale(images.test_images)), images.test_labels
history = train.fit(model, criterion, optimizer, batches, epochs=5, validation=test, progress=False)
print(history)

# %% [markdown]
# # 7. What it learned

# %%
predicted = train.predict(model, test[0], output="classes")
report = train.classification_report(predicted, images.test_labels, images.class_names)
print(report)
assert report.accuracy > 0.8
if plots.available():
    plots.save(history.plot(title="Five epochs"), "curves.png")
    plots.save(plots.confusion_matrix(report.matrix, images.class_names), "confusion.png")
    plots.save(plots.class_scores(report), "classes.png")
    plots.save(
        plots.mistakes(images.test_images, predicted, images.test_labels, images.class_names),
        "mistakes.png",
    )
    plots.save(plots.weights_tiles(model[0].weight), "weights.png")

# %% [markdown]
# # 8. The network, drawn
#
# With statistics of every value: which units are dead, how large the gradients are, what an
# operation costs. Fold and unfold its modules in a browser.

# %%
graph = tg.draw(lambda x: criterion(model(x), images.test_labels[:100]), test[0][:100], values=True)
graph.save("network.html")
print(graph.fold(1).to_text())

# %% [markdown]
# Where to go on: `examples/` has short programs for one thing each, `tinygrad-fm report list` what
# five students built like this from scratch, and `tinygrad-fm check your_file.py` says whether a
# backward pass that you wrote by hand is right.
