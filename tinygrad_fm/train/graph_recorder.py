"""A callback that keeps what the numbers of a network look like while it learns."""

from __future__ import annotations

from typing import Any

from tinygrad_fm.graph import Frame, Graph, draw
from tinygrad_fm.train.callback import Callback, TrainingState
from tinygrad_fm.train.evaluation import as_tensor


class GraphRecorder(Callback):
    """Statistics of every value and gradient in the graph of the loss, every so many updates.

        recorder = train.GraphRecorder(every=100)
        train.fit(model, loss, optimizer, loader, epochs=3, callbacks=[recorder])
        recorder.graph.save("training.html")  # with a slider over the steps

    At such a step the loss of a batch is computed once more, with the weights after the update, and
    differentiated; the training itself is not changed by it, bit for bit. A step that is recorded
    takes about five times as long as another.

    Args:
        every: updates from one record to the next; the first update is recorded too.
        batch: a pair (inputs, labels) to look at each time; by default the batch just learned from.

    Attributes:
        graph: the graph of the loss, with a frame for each record; None before the first.
        dropped: records left out because the model computed something else than at the first.

    Raises:
        ValueError: `every` below 1.
    """

    last = True  # after callbacks that change weights or the learning rate

    def __init__(self, every: int = 100, batch: tuple[Any, Any] | None = None):
        if every < 1:
            raise ValueError(f"GraphRecorder: every is at least 1, not {every!r}")
        self.every = every
        self.batch = batch
        self.graph: Graph | None = None
        self.dropped = 0

    def on_batch_end(self, state: TrainingState) -> None:
        """Record, if it is time."""
        if state.step == 1 or (state.step and state.step % self.every == 0):
            batch = self.batch if self.batch is not None else state.data
            # with accumulation several batches belong to one update
            known = self.graph is not None and self.graph.frames[-1].step == state.step
            if batch is not None and not known:
                self.record(state.step, state.model, state.criterion, *batch)

    def record(self, step: int, model: Any, criterion: Any, inputs: Any, labels: Any) -> None:
        """Add the frame of one step."""

        def loss(inputs: Any) -> Any:
            return criterion(model(inputs), labels)

        graph = draw(loss, (as_tensor(inputs),), values=True)
        graph.title = f"{type(model).__name__} over {step:,} steps"
        frame = Frame(
            step,
            {node.number: node.value for node in graph.nodes if node.value is not None},
            {node.number: node.gradient for node in graph.nodes if node.gradient is not None},
        )
        if self.graph is None:
            graph.frames = [frame]
        elif [n.label for n in graph.nodes] != [n.label for n in self.graph.nodes]:
            self.dropped += 1
            return
        else:
            graph.frames = [*self.graph.frames, frame]
        self.graph = graph
