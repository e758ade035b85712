"""The rows of the kink table about norms, sorting, statistics and steps between given points."""

from __future__ import annotations

import numpy as np

from tinygrad_fm.debug.kink import kink

INF, NAN = np.inf, np.nan

ORDER = [
    kink("fmax of equals", "all to the first", "np.fmax(x, y)", at=[1, 2, 3], y=[2, 2, 2],
         gives=([0, 1, 1], [1, 0, 0]), peer="torch.fmax(x, y)"),
    kink("fmin of equals", "all to the first", "np.fmin(x, y)", at=[1, 2, 3], y=[2, 2, 2],
         gives=([1, 1, 0], [0, 0, 1]), peer="torch.fmin(x, y)"),
    kink("fmax of NaN and a number", "all to the number", "np.fmax(x, y)", at=[NAN, 1], y=[1, NAN],
         gives=([0, 1], [1, 0]), peer="torch.fmax(x, y)"),
    kink("copysign at 0", "0", "np.copysign(x, -1.0)", at=[0, 1, -2], gives=[0, -1, 1],
         peer="torch.copysign(x, -1.0)"),
    kink("heaviside's value at 0", "1 where the first argument is 0, else 0",
         "np.heaviside(np.array([0.0, 1.0]), x)", at=[2, 2], gives=[1, 0]),
    kink("modf at an integer", "1 for the fraction", "np.modf(x)[0]", at=[1, -1, 0.5],
         gives=[1, 1, 1], peer="torch.frac(x)"),
    kink("sinc at 0", "0", "np.sinc(x)", at=[0, 1], gives=[0, -1], peer="torch.sinc(x)"),
    kink("nan_to_num of what is not finite", "0", "np.nan_to_num(x)", at=[NAN, INF, -INF, 1],
         gives=[0, 0, 0, 1], peer="torch.nan_to_num(x)"),
    kink("norm at the zero vector", "0", "np.linalg.norm(x)", at=[0, 0], gives=[0, 0],
         peer="torch.linalg.vector_norm(x)"),
    kink("norm of a matrix of zeros", "0", "np.linalg.norm(x)", at=[[0, 0], [0, 0]],
         gives=[[0, 0], [0, 0]], peer="torch.linalg.matrix_norm(x)"),
    kink("1-norm at 0", "0", "np.linalg.norm(x, 1)", at=[0, -2], gives=[0, -1],
         peer="torch.linalg.vector_norm(x, ord=1)"),
    kink("3-norm at the zero vector", "0", "np.linalg.norm(x, 3)", at=[0, 0], gives=[0, 0],
         peer="torch.linalg.vector_norm(x, ord=3)"),
    kink("1/2-norm with a zero", "0", "np.linalg.norm(x, 0.5)", at=[0, 4], gives=[0, 1],
         peer="torch.linalg.vector_norm(x, ord=0.5)"),
    kink("infinity-norm, ties", "split evenly", "np.linalg.norm(x, np.inf)", at=[0, 3, -3],
         gives=[0, 0.5, -0.5], peer="torch.linalg.vector_norm(x, ord=float('inf'))"),
    kink("sort of equals", "as they stand", "np.sort(x) * np.arange(1.0, 4)", at=[2, 1, 1],
         gives=[3, 1, 2], peer="torch.sort(x).values * torch.arange(1.0, 4)"),
    kink("median of equals", "to the middle one", "np.median(x)", at=[2, 2, 2], gives=[0, 1, 0],
         peer="torch.quantile(x, 0.5)"),
    kink("median of four equals", "1/2 to each of the middle two", "np.median(x)",
         at=[2, 2, 2, 2], gives=[0, 0.5, 0.5, 0], peer="torch.quantile(x, 0.5)"),
    kink("ptp, ties", "split evenly", "np.ptp(x)", at=[1, 1, 2, 2], gives=[-0.5, -0.5, 0.5, 0.5],
         peer="torch.amax(x) - torch.amin(x)"),
    kink("nansum of NaN", "0", "np.nansum(x)", at=[NAN, 1], gives=[0, 1],
         peer="torch.nansum(x)"),
    kink("nanmax, ties", "split evenly, 0 to NaN", "np.nanmax(x)", at=[NAN, 1, 1],
         gives=[0, 0.5, 0.5]),
    kink("cumprod with zeros", "the products of the others", "np.cumprod(x)", at=[2, 0, 3, 0, 4],
         gives=[1, 8, 0, 0, 0], peer="torch.cumprod(x, 0)"),
    kink("interp at a given point", "the slope behind it", "np.interp(x, [0, 1, 2], [0, 1, 3])",
         at=[1, 2], gives=[2, 2]),
    kink("interp outside of the points", "0", "np.interp(x, [0, 1], [0, 1])", at=[-1, 2],
         gives=[0, 0]),
    kink("equal eigenvalues", "their sum's", "np.linalg.eigvalsh(x)", at=[[1, 0], [0, 1]],
         gives=[[1, 0], [0, 1]], peer="torch.linalg.eigvalsh(x)"),
    kink("equal singular values", "their sum's", "np.linalg.svdvals(x)", at=[[1, 0], [0, 1]],
         gives=[[1, 0], [0, 1]], peer="torch.linalg.svdvals(x)"),
]  # fmt: skip
