"""The cases of the operations of networks: activations, losses, normalisation, sliding windows."""

from functools import partial

import numpy as np
from cases import apart, case, integers, positive, real, unit

from tinygrad_fm import functional as fm
from tinygrad_fm.functional.activation import _elu, _leaky_relu
from tinygrad_fm.functional.loss import cross_entropy_each, cross_entropy_total
from tinygrad_fm.functional.normalization import _keep_mask, centre, mean_square
from tinygrad_fm.functional.special import normal_cdf
from tinygrad_fm.optim.clip import sum_of_squares
from tinygrad_fm.rules.convolution import channel_sums, conv2d, input_gradient, weight_gradient
from tinygrad_fm.rules.plan import Plan
from tinygrad_fm.rules.windows import (
    add_windows,
    avg_pool,
    max_pool,
    pick_pooled,
    spread,
    unpool,
    windows,
)

case(fm.linear, real(3, 2), real(2, 4), real(4))
case(fm.linear, real(2, 3, 2), real(2, 2), real(2))
case(fm.linear, real(2), real(2, 3), real(3))
case(fm.relu, real(2, 3))
case(fm.square_norm, real(2, 3))
case(_leaky_relu, real(2, 3), by=partial(fm.leaky_relu, negative_slope=0.1))
case(_elu, real(2, 3), by=partial(fm.elu, alpha=1.5))
case(_elu, np.array([-1.3, 0.4, -0.2]), by=partial(fm.elu, alpha=1.5))
case(fm.erf, real(2, 3))
case(fm.erf, unit(3))
case(fm.sigmoid, real(2, 3))
case(fm.sigmoid, real(2, 3), by=fm.silu)
case(fm.softplus, real(2, 3))
case(normal_cdf, real(2, 3))
case(normal_cdf, real(2, 3), by=fm.gelu)
for function in (fm.softmax, fm.log_softmax):
    case(function, real(2, 3))
    case(function, real(2, 3), axis=0)
case(cross_entropy_each, real(2, 3), positive(2, 3))
case(cross_entropy_each, real(2, 3), integers([1, 0, 0], [0, 0, 1]))
total = partial(lambda factor, x, t: cross_entropy_total(x, t, factor), 0.5)
case(cross_entropy_total, real(2, 3), positive(2, 3), by=total)
case(
    cross_entropy_total, real(2, 3), by=lambda x: fm.cross_entropy(x, np.array([1, 0])), plain=True
)
for function in (centre, mean_square):
    case(function, real(3, 2), by=lambda x, function=function: function(x, (0,)))
    case(function, real(2, 2, 3), by=lambda x, function=function: function(x, (0, 2)))
case(mean_square, real(3, 2), by=lambda x: fm.standardize(x, (0,), 1e-2))
case(mean_square, real(2, 2, 3), by=lambda x: fm.standardize(x, (0, 2), 1e-2))


def mask(x):
    return _keep_mask(x, 0.5, np.random.default_rng(0))


case(_keep_mask, real(3, 4), by=mask)

# image sizes, kernels, strides and dilations: overlapping, apart, and with a remainder
GEOMETRIES = [
    ((1, 2, 4, 4), (2, 2), (1, 1), (1, 1)),
    ((2, 1, 5, 4), (2, 3), (2, 1), (1, 1)),
    ((1, 1, 5, 5), (2, 2), (1, 2), (2, 1)),
    ((1, 1, 3, 3), (1, 1), (2, 2), (1, 1)),
]
for shape, kernel, stride, dilation in GEOMETRIES:
    look = partial(lambda k, s, d, x: windows(x, k, s, d), kernel, stride, dilation)
    put = partial(lambda k, s, d, n, g: add_windows(g, k, s, d, n), kernel, stride, dilation, shape)
    case(windows, real(*shape), by=look)
    case(add_windows, real(*look(np.zeros(shape)).shape), by=put)
# images, kernels, padding before, results; then stride, dilation and groups
SIZES = [
    ("im2col", (4, 5), (3, 2), (1, 0), (4, 4)),
    ("im2col", (5, 5), (2, 2), (0, 1), (2, 3), (2, 2), (2, 1), 2),
    ("im2col", (3, 3), (1, 1), (0, 0), (3, 3)),
    ("dft", (3, 4), (2, 3), (1, 1), (3, 4)),
    ("tiles", (5, 6), (3, 3), (1, 0), (5, 5)),
    ("tiles", (5, 4), (5, 5), (2, 1), (4, 3)),
]
for sizes in SIZES:
    plan = Plan(*sizes)
    forward = partial(lambda p, x, w, b: conv2d(x, w, b, p), plan)
    to_images = partial(lambda p, g, w: input_gradient(g, w, p), plan)
    to_kernels = partial(lambda p, x, g: weight_gradient(x, g, p), plan)
    images, kernels = real(2, 2, *plan.image), real(2, 2 // plan.groups, *plan.kernel)
    only = plan.method != "im2col"  # constant matrices are NumPy's
    case(conv2d, images, kernels, real(2), by=forward, plain=only)
    case(input_gradient, real(2, 2, *plan.out), kernels, by=to_images, plain=only)
    case(weight_gradient, images, real(2, 2, *plan.out), by=to_kernels, plain=only)
case(channel_sums, real(2, 3, 2, 2))
for kernel, stride, out in (((2, 2), (2, 2), (2, 2)), ((2, 3), (1, 1), (3, 2))):
    pool = partial(lambda k, s, o, x: max_pool(x, k, s, o), kernel, stride, out)
    largest = pool(np.arange(16.0).reshape(1, 1, 4, 4))
    image = np.arange(16.0).reshape(1, 1, 4, 4)
    back = partial(lambda k, s, x, y, g: unpool(g, x, y, k, s), kernel, stride, image, largest)
    pick = partial(lambda k, s, x, y, g: pick_pooled(g, x, y, k, s), kernel, stride, image, largest)
    case(max_pool, apart(1, 1, 4, 4), by=pool)
    case(unpool, real(1, 1, *out), by=back, plain=True)
    case(pick_pooled, real(1, 1, 4, 4), by=pick, plain=True)
    mean = partial(lambda k, s, o, x: avg_pool(x, k, s, o), kernel, stride, out)
    shares = partial(lambda k, s, g: spread(g, k, s, (1, 1, 4, 4)), kernel, stride)
    case(avg_pool, real(1, 1, 4, 4), by=mean)
    case(spread, real(1, 1, *out), by=shares)

case(sum_of_squares, real(3, 4))
