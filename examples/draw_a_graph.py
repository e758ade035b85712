"""Graphs: of a computation and its gradient, of a loss, of a failure, and of what changed."""

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import nn
from tinygrad_fm.graph import find_renderer

ending = "svg" if find_renderer() else "dot"  # text, where nothing draws pictures

x = tg.Tensor([1.0, 2.0, 3.0], requires_grad=True, name="x")
y = np.sum(np.where(x > 1.5, np.sqrt(x), x * x))
tg.draw(y, direction="LR").save(f"expression.{ending}")

model = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(8, 3, rng=1))
loss = nn.CrossEntropyLoss()(model(np.ones((5, 4))), np.array([0, 1, 2, 0, 1]))
graph = tg.draw(loss)
graph.save(f"network.{ending}")
print(graph, "in which the parameters are", end=" ")
print(", ".join(node.label for node in graph.nodes if node.kind == "parameter"))

# the backward pass is recorded by the same rules, so it can be drawn as well
tg.draw(y, backward=True).save(f"gradient.{ending}")

# a model is run to be drawn; where it fails, the graph ends in red, and says why
wrong = nn.Sequential(nn.Linear(4, 8, rng=0), nn.Tanh(), nn.Linear(5, 3, rng=1))
failed = tg.draw(wrong, np.ones((5, 4)))
failed.save(f"failed.{ending}")
print(failed.error)

print(tg.graph_diff(tg.draw(model, np.ones((5, 4))), failed).to_text())
