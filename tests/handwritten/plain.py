"""Networks as the plainest functions, written out in every way that people write them."""

from dataclasses import dataclass, fields

CHOICES = {
    "layers": (1, 2, 3, 4),
    "product": ("x @ w", "x @ w.T", "w @ x", "w.T @ x"),
    "bias": ("none", "flat", "kept"),
    "holder": ("names", "keys", "unpacked", "pairs", "numbered"),
    "form": ("upstream", "loss beside", "together"),
    "cache": ("tuple", "dict"),
    "labels": ("numbers", "one-hot", "real", "binary"),
    "activation": ("tanh", "relu", "sigmoid"),
    "gives_dx": (False, True),
    "lower": (False, True),
}


@dataclass(frozen=True)
class Plain:
    """One way to write a network."""

    layers: int = 2
    product: str = "x @ w"
    bias: str = "flat"
    holder: str = "names"
    form: str = "upstream"
    cache: str = "tuple"
    labels: str = "one-hot"
    activation: str = "tanh"
    gives_dx: bool = False
    lower: bool = False

    @property
    def columns(self):
        return self.product.startswith("w")

    def text(self):
        """The program."""
        made = "\n".join(["import numpy as np", *self._functions()])
        return made.replace("W", "w").replace("X", "x") if self.lower else made

    def _functions(self):
        forward, back = self._forward(), self._backward()
        arguments = ", ".join(self._arguments())
        unpack = self._unpack()
        given = self._packed([f"d{name}" for name in self._flat()])
        given = f"dX, {given}" if self.gives_dx and self.form == "upstream" else given
        if self.gives_dx:
            back.append("dX = " + self._to_input("dZ1", "W1"))
        out = f"Z{self.layers}"
        if self.form == "together":
            body = [*unpack, *forward, *self._probabilities(out), *self._loss_of("P")]
            body += [*self._slope_of("P"), *back]
            return _function(
                "loss_and_grads", f"{arguments}, X, y", [*body, f"return loss, {given}"]
            )
        inputs = [f"A{i}" for i in range(1, self.layers)]
        if self.form == "loss beside":
            kept = self._kept(["P", *inputs])
            start = [*forward, *self._probabilities(out), f"return P, {kept}"]
            loss = [*self._loss_of("P"), "return loss"]
            slope = [*unpack, *self._taken(["P", *inputs]), *self._slope_of("P")]
            return [
                *_function("forward", f"X, {arguments}", [*unpack, *start]),
                *_function("compute_loss", "P, y", loss),
                *_function(
                    "backward",
                    f"X, y, {arguments}, cache",
                    [*unpack, *slope, *back, f"return {given}"],
                ),
            ]
        weights = self._flat() if self.holder == "names" else []
        kept = ["X", *inputs, *weights]
        more = "" if weights else f", {arguments}"
        rest = [*(unpack if more else []), *self._taken(kept), *back, f"return {given}"]
        return [
            *_function(
                "net_forward",
                f"X, {arguments}",
                [*unpack, *forward, f"return {out}, {self._kept(kept)}"],
            ),
            *_function("net_backward", f"d{out}, cache{more}", rest),
        ]

    def _names(self, i):
        return [f"W{i}"] if self.bias == "none" else [f"W{i}", f"b{i}"]

    def _flat(self):
        return [name for i in range(1, self.layers + 1) for name in self._names(i)]

    def _arguments(self):
        return self._flat() if self.holder == "names" else ["params"]

    def _unpack(self):
        flat = self._flat()
        if self.holder == "unpacked":
            return [", ".join(flat) + ("," if len(flat) == 1 else "") + " = params"]
        if self.holder == "keys":
            return [f'{name} = params["{name}"]' for name in flat]
        if self.holder == "pairs":
            pairs = [f"({', '.join(self._names(i))},)" for i in range(1, self.layers + 1)]
            return [f"{', '.join(pairs)}, = params"]
        if self.holder == "numbered":
            return [f'{name} = params[f"{name[0]}{{{name[1]}}}"]' for name in flat]
        return []

    def _packed(self, grads):
        if self.holder in ("keys", "numbered"):
            return "{" + ", ".join(f'"{g[1:]}": {g}' for g in grads) + "}"
        if self.holder == "pairs":
            rows = [", ".join(f"d{n}" for n in self._names(i)) for i in range(1, self.layers + 1)]
            return f"[({',), ('.join(rows)},)]"
        return f"[{', '.join(grads)}]" if self.holder != "names" else f"({', '.join(grads)},)"

    def _kept(self, names):
        if self.cache == "dict":
            return "{" + ", ".join(f'"{name}": {name}' for name in names) + "}"
        return f"({', '.join(names)},)"

    def _taken(self, names):
        if self.cache == "dict":
            return [f'{name} = cache["{name}"]' for name in names]
        return [f"{', '.join(names)}, = cache"]

    def _forward(self):
        lines, last = [], "X"
        for i in range(1, self.layers + 1):
            product = self.product.replace("x", last).replace("w", f"W{i}")
            lines.append(f"Z{i} = {product}" + ("" if self.bias == "none" else f" + b{i}"))
            if i < self.layers:
                made = {"tanh": "np.tanh({})", "relu": "np.maximum({}, 0)"}
                lines.append(
                    f"A{i} = " + made.get(self.activation, "1 / (1 + np.exp(-{}))").format(f"Z{i}")
                )
                last = f"A{i}"
        return lines

    def _backward(self):
        slopes = {"tanh": "(1 - {0} ** 2)", "relu": "({0} > 0)", "sigmoid": "{0} * (1 - {0})"}
        lines = []
        for i in range(self.layers, 0, -1):
            a, dz = f"A{i - 1}" if i > 1 else "X", f"dZ{i}"
            gradient = {
                "x @ w": f"{a}.T @ {dz}", "x @ w.T": f"{dz}.T @ {a}",
                "w @ x": f"{dz} @ {a}.T", "w.T @ x": f"{a} @ {dz}.T",
            }  # fmt: skip
            lines.append(f"dW{i} = {gradient[self.product]}")
            if self.bias != "none":
                kept = ", keepdims=True" if self.bias == "kept" or self.columns else ""
                lines.append(f"db{i} = np.sum({dz}, axis={int(self.columns)}{kept})")
            if i > 1:
                lines.append(f"d{a} = {self._to_input(dz, f'W{i}')}")
                lines.append(f"dZ{i - 1} = d{a} * {slopes[self.activation].format(a)}")
        return lines

    def _to_input(self, dz, w):
        return {
            "x @ w": f"{dz} @ {w}.T", "x @ w.T": f"{dz} @ {w}",
            "w @ x": f"{w}.T @ {dz}", "w.T @ x": f"{w} @ {dz}",
        }[self.product]  # fmt: skip

    @property
    def _count(self):
        return f"X.shape[{int(self.columns)}]"

    def _probabilities(self, z):
        axis = int(not self.columns)
        if self.labels == "real":
            return [f"P = {z}"]
        if self.labels == "binary":
            return [f"P = 1 / (1 + np.exp(-{z}))"]
        return [
            f"E = np.exp({z} - {z}.max(axis={axis}, keepdims=True))",
            f"P = E / E.sum(axis={axis}, keepdims=True)",
        ]

    def _loss_of(self, p):
        n = f"{p}.shape[{int(self.columns)}]"
        picked = f"{p}[y, np.arange({n})]" if self.columns else f"{p}[np.arange({n}), y]"
        return [
            {
                "numbers": f"loss = -np.sum(np.log({picked})) / {n}",
                "one-hot": f"loss = -np.sum(y * np.log({p})) / {n}",
                "real": f"loss = 0.5 * np.sum(({p} - y) ** 2) / {n}",
                "binary": f"loss = -np.sum(y * np.log({p}) + (1 - y) * np.log(1 - {p})) / {n}",
            }[self.labels]
        ]

    def _slope_of(self, p):
        dz, n = f"dZ{self.layers}", self._count
        if self.labels != "numbers":
            return [f"{dz} = ({p} - y) / {n}"]
        at = f"y, np.arange({n})" if self.columns else f"np.arange({n}), y"
        return [f"{dz} = {p}.copy()", f"{dz}[{at}] -= 1", f"{dz} /= {n}"]


def _function(name, arguments, body):
    return [f"def {name}({arguments}):", *(f"    {line}" for line in body)]


def drawn(rng):
    """One of the ways, at random."""
    return Plain(
        **{f.name: CHOICES[f.name][rng.integers(len(CHOICES[f.name]))] for f in fields(Plain)}
    )
