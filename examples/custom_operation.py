"""An operation of your own with its rule, checked; and a gradient that is none, on purpose."""

import numpy as np

import tinygrad_fm as tg
from tinygrad_fm import testing

# softsign: x / (1 + |x|), with derivative 1 / (1 + |x|)^2 = (1 - |y|)^2
softsign = tg.primitive(
    lambda x: x / (1 + np.abs(x)),
    lambda g, y, _x: g * (1 - np.abs(y)) ** 2,
    name="softsign",
)
x = np.array([-2.0, 0.5, 3.0])
print(testing.check_grads(softsign, x))
print("second derivative at 0.5:", tg.grad(tg.grad(softsign))(0.5))

# rounding has derivative 0 nearly everywhere; the straight-through estimator pretends it has 1
quantize = tg.custom_vjp(np.round, backward=lambda g, y, x: g)
print("through a rounding:", tg.grad(lambda x: np.sum(quantize(x) * x))(x))

wrong = tg.primitive(np.sin, lambda g, _y, x: -g * np.cos(x), name="wrong_sine")
try:
    testing.check_grads(wrong, x)
except AssertionError as error:
    print("\n".join(str(error).splitlines()[:3]))
else:
    raise SystemExit("a wrong sign was not found")
