"""The step that the tests' networks learn by."""

from tinygrad_fm import nn


def learning_step(model, optimizer, clear=True, before_update=lambda: None):
    """On a batch, with or without the gradients from before."""
    loss_of = nn.CrossEntropyLoss()

    def step(x, y):
        if clear:
            optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        before_update()
        optimizer.step()
        return loss

    return step
