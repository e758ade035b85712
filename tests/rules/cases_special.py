"""The cases of SciPy's special functions; none where SciPy is not installed."""

import contextlib
from functools import partial

from cases import between, case, positive, real

from tinygrad_fm.rules.special import RULES, find

ANYWHERE = "erf erfc erfcx erfi dawsn ndtr log_ndtr expit log_expit exp2 exp10 expm1 cosm1 sindg"
ANYWHERE += " cosdg j0 j1 i0 i1 i0e i1e gamma gammaln rgamma psi cbrt expi"
POSITIVE = "loggamma log1p entr y0 y1 k0 k1 k0e k1e exp1"
BETWEEN = {"erfinv": (-0.8, 0.8), "erfcinv": (0.2, 1.8), "ndtri": (0.1, 0.9), "logit": (0.1, 0.9)}
PAIRS = "beta betaln binom poch xlogy xlog1py rel_entr kl_div"
OF_ORDER = "jv yv iv kv ive kve"
OF_SHAPE = [("gammainc", 1.5), ("gammaincc", 1.5), ("pseudo_huber", 0.7)]

with contextlib.suppress(ImportError):
    from scipy import special

    FUNCTIONS = {n: getattr(special, n) for n in RULES if hasattr(special, n)}
    FUNCTIONS["_zeta"] = special._ufuncs._zeta
    for ufunc in FUNCTIONS.values():
        find(ufunc)

    def cases(names, *arguments):
        for name in names.split():
            if name in FUNCTIONS:
                case(FUNCTIONS[name], *arguments)

    cases(ANYWHERE, real(2, 3))
    cases("psi gamma log_ndtr erfcx", between(-2.7, -2.3, 2))
    cases(POSITIVE, positive(2, 3))
    for name, (low, high) in BETWEEN.items():
        cases(name, between(low, high, 2, 3))
    cases(PAIRS, positive(2, 3), positive(3))
    cases("xlogy xlog1py", 0.5, positive(3))
    # where the derivative by the order is not known, the order is no argument
    for name, order in [*((n, v) for n in OF_ORDER.split() for v in (1.5, 2)), *OF_SHAPE]:
        if name in FUNCTIONS:
            case(FUNCTIONS[name], positive(2, 3), by=partial(FUNCTIONS[name], order))
    case(FUNCTIONS["_zeta"], positive(2, 3), by=lambda q: special.zeta(2.5, q))
    case(special.betainc, between(0.1, 0.9, 2, 3), by=partial(special.betainc, 1.5, 2.5))
    for boxcox in (special.boxcox, special.boxcox1p):
        case(boxcox, positive(2, 3), by=partial(lambda f, x: f(x, 0.7), boxcox))
    cases("huber", between(0.9, 1.1, 3), real(2, 3))
    cases("huber", between(0.1, 0.2, 3), real(2, 3))
