"""The calculus of SciPy's special functions, by name; SciPy is never imported, only recognised.

A ufunc that reaches a Tensor and has no rule is looked up here: where somebody has imported
`scipy.special` and the ufunc is that module's, the rule of its name in `RULES` is registered.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_fm.engine import Primitive, defvjp, registry
from tinygrad_fm.rules.elementwise import LN2, LN10

ROOT_PI, ROOT_2PI = math.sqrt(math.pi), math.sqrt(2 * math.pi)
ROOT_HALF, ROOT_2_OVER_PI = math.sqrt(0.5), math.sqrt(2 / math.pi)


def _of(name: str) -> Callable[..., Any]:
    """SciPy's function of that name, looked up when it is called."""
    return lambda *args: getattr(sys.modules["scipy.special"], name)(*args)


# what the rules below are written in
_beta, _erfcx, _expit, _gammaln, _psi, _zeta = map(
    _of, ["beta", "erfcx", "expit", "gammaln", "psi", "zeta"]
)
_i0, _i0e, _i1, _i1e, _iv, _ive = map(_of, ["i0", "i0e", "i1", "i1e", "iv", "ive"])
_j0, _j1, _jv, _y0, _y1, _yv = map(_of, ["j0", "j1", "jv", "y0", "y1", "yv"])
_k0, _k0e, _k1, _k1e, _kv, _kve = map(_of, ["k0", "k0e", "k1", "k1e", "kv", "kve"])
_expn, _sindg, _cosdg, _xlogy, _xlog1py = map(_of, ["expn", "sindg", "cosdg", "xlogy", "xlog1py"])


# a Python number in the dtype of x: beside one, SciPy computes in float64
_as: Any = lambda x, number: number + np.zeros_like(x)


def _trigamma(x: Any) -> Any:
    """The derivative of digamma; below 0 by reflection, for SciPy's zeta takes x > 0 only."""
    right = x > 0
    return np.where(
        right,
        _zeta(2.0, np.where(right, x, 1)),
        (math.pi / np.sin(math.pi * np.where(right, 0.5, x))) ** 2
        - _zeta(2.0, np.where(right, 1, 1 - x)),
    )


def _log_or_zero(x: Any, y: Any) -> Any:
    """The logarithm of y, but 0 where x is 0 and there is no logarithm: xlogy(0, 0) is flat."""
    flat = (x == 0) & (y <= 0)
    return np.where(flat, 0, np.log(np.where(flat, 1, y)))


def _gamma_density(a: Any, x: Any) -> Any:
    """The derivative of the incomplete gamma function: x**(a - 1) exp(-x) / gamma(a)."""
    return np.exp(_xlogy(_as(x, a - 1), x) - x - _gammaln(_as(x, a)))


def _beta_density(a: Any, b: Any, x: Any) -> Any:
    """The derivative of the incomplete beta function: x**(a - 1) (1 - x)**(b - 1) / beta(a, b)."""
    powers = np.exp(_xlogy(_as(x, a - 1), x) + _xlog1py(_as(x, b - 1), -x))
    return powers / _beta(_as(x, a), _as(x, b))


# x / y, but 0 at 0 / 0
_ratio: Any = lambda x, y: x / np.where((x == 0) & (y == 0), 1, y)

# For each name the rules of its arguments: None where there is no derivative, `...` where there is
# one that is not known here (a Tensor there is refused when the function is called).
RULES: dict[str, tuple[Any, ...]] = {
    # the error function and the normal distribution
    "erf": (lambda g, _y, x: g * (2 / ROOT_PI) * np.exp(-x * x),),
    "erfc": (lambda g, _y, x: -g * (2 / ROOT_PI) * np.exp(-x * x),),
    "erfcx": (lambda g, y, x: g * (2 * x * y - 2 / ROOT_PI),),
    "erfi": (lambda g, _y, x: g * (2 / ROOT_PI) * np.exp(x * x),),
    "dawsn": (lambda g, y, x: g * (1 - 2 * x * y),),
    "erfinv": (lambda g, y, _x: g * (ROOT_PI / 2) * np.exp(y * y),),
    "erfcinv": (lambda g, y, _x: -g * (ROOT_PI / 2) * np.exp(y * y),),
    "ndtr": (lambda g, _y, x: g / ROOT_2PI * np.exp(-x * x / 2),),
    "log_ndtr": (lambda g, _y, x: g * ROOT_2_OVER_PI / _erfcx(-ROOT_HALF * x),),
    "ndtri": (lambda g, y, _x: g * ROOT_2PI * np.exp(y * y / 2),),
    # the logistic function
    "expit": (lambda g, y, _x: g * y * (1 - y),),
    "log_expit": (lambda g, _y, x: g * _expit(-x),),
    "logit": (lambda g, _y, x: g / (x * (1 - x)),),
    # the gamma function and its kin
    "gamma": (lambda g, y, x: g * y * _psi(x),),
    "gammaln": (lambda g, _y, x: g * _psi(x),),
    "loggamma": (lambda g, _y, x: g * _psi(x),),
    "rgamma": (lambda g, y, x: -g * y * _psi(x),),
    "psi": (lambda g, _y, x: g * _trigamma(x),),
    "_zeta": (..., lambda g, _y, s, q: -g * s * _zeta(s + 1, q)),
    "beta": (
        lambda g, y, a, b: g * y * (_psi(a) - _psi(a + b)),
        lambda g, y, a, b: g * y * (_psi(b) - _psi(a + b)),
    ),
    "betaln": (
        lambda g, _y, a, b: g * (_psi(a) - _psi(a + b)),
        lambda g, _y, a, b: g * (_psi(b) - _psi(a + b)),
    ),
    "binom": (
        lambda g, y, n, k: g * y * (_psi(n + 1) - _psi(n - k + 1)),
        lambda g, y, n, k: g * y * (_psi(n - k + 1) - _psi(k + 1)),
    ),
    "poch": (
        lambda g, y, z, m: g * y * (_psi(z + m) - _psi(z)),
        lambda g, y, z, m: g * y * _psi(z + m),
    ),
    "gammainc": (..., lambda g, _y, a, x: g * _gamma_density(a, x)),
    "gammaincc": (..., lambda g, _y, a, x: -g * _gamma_density(a, x)),
    "betainc": (
        ...,
        ...,
        lambda g, _y, a, b, x: g * _beta_density(a, b, x),
    ),
    # logarithms, exponentials and entropies
    "xlogy": (
        lambda g, _y, x, y: g * _log_or_zero(x, y),
        lambda g, _y, x, y: g * _ratio(x, y),
    ),
    "xlog1py": (
        lambda g, _y, x, y: g * _log_or_zero(x, 1 + y),
        lambda g, _y, x, y: g * _ratio(x, 1 + y),
    ),
    "entr": (lambda g, _y, x: -g * (1 + np.log(x)),),
    "rel_entr": (
        lambda g, _y, a, b: g * (np.log(a / b) + 1),
        lambda g, _y, a, b: -g * _ratio(a, b),
    ),
    "kl_div": (
        lambda g, _y, a, b: g * np.log(a / b),
        lambda g, _y, a, b: g * (1 - _ratio(a, b)),
    ),
    "exp2": (lambda g, y, _x: g * y * LN2,),
    "exp10": (lambda g, y, _x: g * y * LN10,),
    "expm1": (lambda g, y, _x: g * (y + 1),),
    "log1p": (lambda g, _y, x: g / (1 + x),),
    "cbrt": (lambda g, y, _x: g / (3 * y * y),),
    "cosm1": (lambda g, _y, x: -g * np.sin(x),),
    "sindg": (lambda g, _y, x: g * _cosdg(x) * (math.pi / 180),),
    "cosdg": (lambda g, _y, x: -g * _sindg(x) * (math.pi / 180),),
    "expi": (lambda g, _y, x: g * np.exp(x) / x,),
    "exp1": (lambda g, _y, x: -g * np.exp(-x) / x,),
    "boxcox": (lambda g, _y, x, power: g * x ** (power - 1), ...),
    "boxcox1p": (lambda g, _y, x, power: g * (1 + x) ** (power - 1), ...),
    "huber": (
        lambda g, _y, delta, r: g * np.maximum(np.abs(r) - delta, 0),
        lambda g, _y, delta, r: g * np.clip(r, -delta, delta),
    ),
    "pseudo_huber": (..., lambda g, _y, delta, r: g * r / np.hypot(r / delta, 1)),
    # Bessel functions: of integer orders 0 and 1, and of any order; of the order, no derivative
    "j0": (lambda g, _y, x: -g * _j1(x),),
    "j1": (lambda g, _y, x: g / 2 * (_j0(x) - _jv(2, x)),),
    "jv": (..., lambda g, _y, v, x: g / 2 * (_jv(v - 1, x) - _jv(v + 1, x))),
    "y0": (lambda g, _y, x: -g * _y1(x),),
    "y1": (lambda g, _y, x: g / 2 * (_y0(x) - _yv(2, x)),),
    "yv": (..., lambda g, _y, v, x: g / 2 * (_yv(v - 1, x) - _yv(v + 1, x))),
    "i0": (lambda g, _y, x: g * _i1(x),),
    "i1": (lambda g, _y, x: g / 2 * (_i0(x) + _iv(2, x)),),
    "iv": (..., lambda g, _y, v, x: g / 2 * (_iv(v - 1, x) + _iv(v + 1, x))),
    "k0": (lambda g, _y, x: -g * _k1(x),),
    "k1": (lambda g, _y, x: -g / 2 * (_k0(x) + _kv(2, x)),),
    "kv": (..., lambda g, _y, v, x: -g / 2 * (_kv(v - 1, x) + _kv(v + 1, x))),
    # the same times exp(-|x|) and exp(x)
    "i0e": (lambda g, y, x: g * (_i1e(x) - np.sign(x) * y),),
    "i1e": (lambda g, y, x: g * ((_i0e(x) + _ive(2, x)) / 2 - np.sign(x) * y),),
    "ive": (
        ...,
        lambda g, y, v, x: g * ((_ive(v - 1, x) + _ive(v + 1, x)) / 2 - np.sign(x) * y),
    ),
    "k0e": (lambda g, y, x: g * (y - _k1e(x)),),
    "k1e": (lambda g, y, x: g * (y - (_k0e(x) + _kve(2, x)) / 2),),
    "kve": (..., lambda g, y, v, x: g * (y - (_kve(v - 1, x) + _kve(v + 1, x)) / 2)),
}


def is_special(ufunc: Any) -> bool:
    """Whether a ufunc is SciPy's: `scipy.special` has been imported and holds it by its name."""
    # scipy.special.zeta is a function of Python around the ufunc _zeta
    modules = map(sys.modules.get, ("scipy.special", "scipy.special._ufuncs"))
    return any(getattr(module, ufunc.__name__, None) is ufunc for module in modules)


def find(ufunc: Any) -> Primitive | None:
    """The primitive of one of SciPy's ufuncs, registered when it is first met; else None."""
    rules = RULES.get(ufunc.__name__)
    if rules is None or ufunc in registry or not is_special(ufunc):
        return registry.get(ufunc)
    made = defvjp(ufunc, *(None if rule is ... else rule for rule in rules))
    for i, rule in enumerate(rules):
        if rule is ...:
            made.covers &= ~(1 << i)
    return made
