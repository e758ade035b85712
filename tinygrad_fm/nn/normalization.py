"""Layers that behave differently in training, or normalise: batch norm, layer norm, dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_fm import functional
from tinygrad_fm.engine import state
from tinygrad_fm.functional.normalization import centre, mean_square
from tinygrad_fm.nn import init
from tinygrad_fm.nn.module import Buffer, Module, Parameter
from tinygrad_fm.recording import no_grad
from tinygrad_fm.tensor import shape_of

if TYPE_CHECKING:
    from numpy.random import Generator


def _check_eps(eps: float) -> None:
    if not eps >= 0:
        raise ValueError(f"eps is at least 0, not {eps!r}")


def _detached(x: Any) -> Any:
    return x.detach() if hasattr(x, "detach") else x


class _BatchNorm(Module):
    """Normalise each feature over the batch; see BatchNorm1d and BatchNorm2d."""

    stateful = True
    dimensions: tuple[int, ...]

    def __init__(
        self, features: int, eps: float = 1e-5, momentum: float = 0.1, *, dtype: Any = np.float32
    ):
        if not isinstance(features, (int, np.integer)) or features < 1:
            raise ValueError(f"features is a whole number above 0, not {features!r}")
        if momentum is None or not 0 <= momentum <= 1:
            raise ValueError(f"momentum is between 0 and 1, not {momentum!r}")
        _check_eps(eps)
        self.eps, self.momentum = eps, momentum
        self.weight = Parameter(np.ones(features, dtype))
        self.bias = Parameter(np.zeros(features, dtype))
        self.running_mean = Buffer(np.zeros(features, dtype))
        self.running_variance = Buffer(np.ones(features, dtype))
        self._last_call: Any = None

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        shape, features = shape_of(x), self.weight.size
        if len(shape) not in self.dimensions or shape[1] != features:
            raise ValueError(
                f"{type(self).__name__}({features}) takes "
                f"{' or '.join(map(str, self.dimensions))} axes, the second of length {features}; "
                f"not shape {shape}"
            )
        axes = tuple(i for i in range(len(shape)) if i != 1)
        along = (1, features) + (1,) * (len(shape) - 2)
        scale, shift = self.weight.reshape(along), self.bias.reshape(along)
        if self.training:
            self._refuse_second_use()
            count = x.size // features
            if count < 2:
                raise ValueError(
                    f"{type(self).__name__} in training needs more than one value per feature, "
                    f"not shape {shape}; use batches of at least two, or model.eval()"
                )
            centred = centre(x, axes)
            variance = mean_square(centred, axes)
            self._update(np.mean(_detached(x), axis=axes), _detached(variance).reshape(-1), count)
        else:
            centred = x - self.running_mean.reshape(along)
            variance = self.running_variance.reshape(along)
        # the factor is small: one pass over x less than to standardize, and then to scale
        return centred * (scale / np.sqrt(variance + self.eps)) + shift

    def _update(self, mean: Any, variance: Any, count: int) -> None:
        """Move the running statistics; the variance without bias, as it is used for single ones."""
        with no_grad():
            m = self.momentum
            self.running_mean[...] = (1 - m) * self.running_mean + m * mean
            unbiased = variance * (count / (count - 1))
            self.running_variance[...] = (1 - m) * self.running_variance + m * unbiased

    def _refuse_second_use(self) -> None:
        """Two places in one model would mix their statistics without a word."""
        call = state.mode.scope
        while call is not None and call.outer is not None:
            call = call.outer
        if call is None or call.module() is self:
            return
        if self._last_call is not None and self._last_call() is call:
            raise RuntimeError(
                f"this {type(self).__name__} was called twice in one forward pass; its running "
                "statistics would mix two places: use one layer object for each"
            )
        self._last_call = call.reference()

    def extra_repr(self) -> str:
        """Features."""
        return f"{self.weight.size}"


class BatchNorm1d(_BatchNorm):
    """(x - mean) / sqrt(variance + eps) * weight + bias, with statistics over the batch.

    In training, of the batch, and running averages are moved: `r <- (1 - momentum) r + momentum
    batch`. In evaluation, the running averages are used. Ioffe and Szegedy: Batch normalization
    (2015). Keras's momentum is 1 minus this one.

    Args:
        features: length of the second axis.
        eps: added to the variance.
        momentum: share of a new batch in the running averages.

    Shapes: x (N, features) or (N, features, L).

    Raises:
        ValueError: shapes that do not fit, or one example in training.
        RuntimeError: the layer is used in two places of a model.
    """

    dimensions = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d for images (N, features, H, W), with statistics over N, H and W."""

    dimensions = (4,)


class LayerNorm(Module):
    """Each example's last axes to mean 0 and variance 1, times weight plus bias.

    Ba, Kiros, Hinton: Layer normalization (2016).

    Args:
        shape: lengths of the last axes, or one length.
        eps: added to the variance.

    Shapes: x (..., *shape), result like x.

    Raises (when called):
        ValueError: x ends in other axes.
    """

    def __init__(self, shape: int | tuple[int, ...], eps: float = 1e-5, *, dtype: Any = np.float32):
        shape = (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(shape)
        if not shape or not all(isinstance(n, (int, np.integer)) and n > 0 for n in shape):
            raise ValueError(f"LayerNorm: shape is whole numbers above 0, not {shape!r}")
        _check_eps(eps)
        self.eps = eps
        self.weight = Parameter(np.ones(shape, dtype))
        self.bias = Parameter(np.zeros(shape, dtype))

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        own = self.weight.shape
        if shape_of(x)[-len(own) :] != own:
            raise ValueError(f"LayerNorm({own}) got x of shape {shape_of(x)}, which ends otherwise")
        axes = tuple(range(-len(own), 0))
        return functional.standardize(x, axes, self.eps) * self.weight + self.bias

    def extra_repr(self) -> str:
        """The shape."""
        return f"{self.weight.shape}"


class Dropout(Module):
    """In training, each element is zero with probability p, and the others are divided by 1 - p.

    Args:
        p: at least 0 and below 1.
        rng: a generator or a seed; None draws from the default generator of `nn.init`.

    Raises:
        ValueError: another p.
    """

    def __init__(self, p: float = 0.5, *, rng: Generator | int | None = None):
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p is at least 0 and below 1, not {p!r}")
        self.p = p
        self._rng = None if rng is None else init.generator(rng)

    def forward(self, x: Any) -> Any:
        """Same shape as x."""
        return functional.dropout(x, self.p, init.generator(self._rng)) if self.training else x

    def extra_repr(self) -> str:
        """The probability."""
        return f"{self.p}"
