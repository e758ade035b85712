"""The letters of an explanation: A1, A2, ... for results on the way, W1, X, T for what they use."""

from __future__ import annotations

import re
from typing import Any

from tinygrad_fm.debug.chain import Chain
from tinygrad_fm.debug.formulas import Formula, as_latex, as_text, formula_of
from tinygrad_fm.engine import Constant, Node
from tinygrad_fm.graph.build import parameter_names

Key = Node | tuple[Node, int]  # a recorded value, or the plain array at a place of a call


class Symbols:
    """A symbol for everything that occurs in the formulas of a chain.

    Attributes:
        legend: symbols that are no results on the way, with shape and description.
    """

    def __init__(self, chain: Chain):
        self._letters: dict[Key, str] = {}
        self._numbers: dict[Key, int] = {}
        self._count: dict[str, int] = {}
        self._names = parameter_names(chain.forward)
        self.legend: list[tuple[Key, str, str]] = []
        on_way = chain.nodes[::-1]
        for node in on_way:
            if node is chain.loss:
                self._add(node, "L")
            elif node is not chain.parameter:
                self._add(node, "A")
        for node in on_way:
            if node is not chain.parameter or node.primitive is None:
                self._add_arguments(node)
        if chain.parameter not in self._letters:  # it is a result itself, or the loss
            self._describe(chain.parameter, "A")

    def _add(self, key: Key, letter: str) -> None:
        self._letters[key] = letter
        self._numbers[key] = self._count[letter] = self._count.get(letter, 0) + 1

    def _add_arguments(self, node: Node) -> None:
        formula = formula_of(node)
        letters = formula.letters if formula is not None else "C"
        for i, given in enumerate(node.inputs):
            letter = letters[i] if i < len(letters) and len(letters) > 1 else ""
            if type(given) is Node and given not in self._letters:
                self._describe(given, letter)
            elif isinstance(given, Constant):
                self._add((node, i), letter or "C")
                self.legend.append(((node, i), size(given.shape), "an array"))

    def _describe(self, node: Node, letter: str) -> None:
        if node.primitive is not None:
            self._add(node, "H")
            said = f"the result of {node.name}" + (f" at {node.line}" if node.line else "")
        else:
            owner = node.owner() if node.owner is not None else None
            name = (
                self._names.get(node) or getattr(owner, "name", None) or node.keywords.get("name")
            )
            short = name and re.fullmatch(r"[A-Za-z]", name) and name not in (*"ALd", *self._count)
            ends = {"weight": "W", "bias": "b"}
            letter = ends.get(str(name).rpartition(".")[2], letter)
            plain = letter or ("W" if node.requires_grad else "X")
            self._add(node, str(name) if short else plain)
            said = str(name) if name else "a leaf without a name"
        self.legend.append((node, size(node.shape), said))

    # ---- writing ---------------------------------------------------------------------------------

    def write(self, key: Key, latex: bool = False) -> str:
        """A symbol: `A1`, or `A_{1}`."""
        letter = self._letters[key]
        if self._count[letter] == 1:
            return letter
        number = self._numbers[key]
        return f"{letter}_{{{number}}}" if latex else f"{letter}{number}"

    def gradient(self, key: Key, latex: bool = False) -> str:
        """The gradient of the loss by what a symbol stands for: `dA1`."""
        return (r"\mathrm{d}" if latex else "d") + self.write(key, latex)

    def argument(self, node: Node, i: int, latex: bool = False) -> str:
        """An argument of a call: its symbol, or its number."""
        if i >= len(node.inputs):
            return "…"
        given = node.inputs[i]
        if type(given) is Node:
            return self.write(given, latex)
        if isinstance(given, Constant):
            return self.write((node, i), latex)
        return number(given, latex)

    def forward(self, node: Node, latex: bool = False) -> str:
        """What the operation of a node computes: `X W1 + b1`."""
        formula = formula_of(node)
        if node.name == "getitem":
            return f"{self.argument(node, 0, latex)}[{_index(node.inputs[1:], latex)}]"
        if formula is not None and formula.forward:
            return self._fill(formula.forward, node, "", latex)
        arguments = ", ".join(self.argument(node, i, latex) for i in range(len(node.inputs)))
        return f"{name_of(node, latex)}({arguments})"

    def contribution(self, node: Node, i: int, g: str, latex: bool = False) -> str:
        """What the rule for argument `i` of a node makes of the gradient `g`: `dA2 W1ᵀ`."""
        template = self.template(node, i)
        parent = node.inputs[i]
        # the engine sums over the axes along which an element-wise function repeated its argument
        elementwise = node.primitive is not None and node.primitive.elementwise
        if elementwise and node.name != "matmul" and parent.shape != node.shape:
            template = f"Σ'repeats' {f'({template})' if ' ' in template else template}"
        return self._fill(template, node, g, latex)

    def template(self, node: Node, i: int) -> str:
        """The formula of a rule, before its symbols are filled in."""
        formula = formula_of(node)
        if formula is None or not formula.gradients:
            return f"'the rule of {node.name} of' <g>"
        return formula.gradients[min(i, len(formula.gradients) - 1)]

    def _fill(self, template: str, node: Node, g: str, latex: bool) -> str:
        def one(match: re.Match[str]) -> str:
            word = match[1]
            if word == "g":
                return g
            if word == "y":
                return self.write(node, latex)
            if word == "n":
                return f"{_reduced(node):g}"
            return self.argument(node, int(word), latex)

        written = as_latex(template) if latex else as_text(template)
        return re.sub(r"<(g|y|n|\d)>", one, written).strip()


def has_formula(node: Node) -> Formula | None:
    """The formula of a node's derivative rules; None where they are told by their source."""
    formula = formula_of(node)
    return formula if formula is not None and formula.gradients else None


def name_of(node: Node, latex: bool) -> str:
    """An operation's name as a function."""
    if not latex:
        return node.name
    return r"\operatorname{" + re.sub(r"[^A-Za-z0-9]", r"\\_", node.name) + "}"


def size(shape: Any) -> str:
    """A shape as a person reads it."""
    if shape and isinstance(shape[0], tuple):
        return ", ".join(size(part) for part in shape)
    return " × ".join(map(str, shape)) or "scalar"


def number(value: Any, latex: bool = False) -> str:
    """A number in a formula: 2, (1/32), (-1)."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return r"\ldots" if latex else "…"
    inverse = 1 / value if value else 0.0
    if 1 < inverse < 1e6 and abs(inverse - round(inverse)) < 1e-9 * inverse:
        return rf"\tfrac{{1}}{{{round(inverse)}}}" if latex else f"(1/{round(inverse)})"
    text = f"{value:.6g}"
    if "e" in text:
        digits, _, power = text.partition("e")
        power = str(int(power))
        text = rf"{digits} \cdot 10^{{{power}}}" if latex else f"{digits}e{power}"
    return f"({text})" if value < 0 else text


def _index(parts: tuple[Any, ...], latex: bool) -> str:
    """What stands between the brackets of an indexing: `0, :, 1:3`."""
    words = []
    for part in parts:
        if isinstance(part, slice):
            ends = ["" if end is None else str(end) for end in (part.start, part.stop, part.step)]
            words.append(":".join(ends[:2] if part.step is None else ends))
        else:
            plain = isinstance(part, int) and not isinstance(part, bool)
            words.append(str(part) if plain else r"\ldots" if latex else "…")
    return ", ".join(words)


def _reduced(node: Node) -> float:
    """How many elements a reduction made one of."""
    given = node.inputs[0]
    return float(given.size / max(node.size, 1) - node.keywords.get("ddof", 0))
