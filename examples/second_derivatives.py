"""Derivatives of derivatives: a Hessian, a Hessian times a vector, and Newton's method."""

import numpy as np

import tinygrad_fm as tg


def rosenbrock(x):
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


x = np.array([-1.2, 1.0, 0.5])
print("gradient", tg.grad(rosenbrock)(x))
print("Hessian\n", tg.hessian(rosenbrock)(x))

v = np.array([1.0, 0.0, 0.0])
print("Hessian times v, without the Hessian:", tg.hvp(rosenbrock, x, v))

for _ in range(100):
    gradient = tg.grad(rosenbrock)(x)
    if np.linalg.norm(gradient) < 1e-10:
        break
    # where the Hessian is indefinite, enough of the identity keeps the step downhill
    hessian = tg.hessian(rosenbrock)(x)
    lowest = np.linalg.eigvalsh(hessian)[0]
    direction = np.linalg.solve(hessian + max(0, 1 - lowest) * np.eye(3), gradient)
    length = 1.0
    while rosenbrock(x - length * direction) > rosenbrock(x):
        length /= 2
    x = x - length * direction
print(f"the minimum, by Newton's method: {x.round(6)}")
assert np.allclose(x, 1)
