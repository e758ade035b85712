"""explain: the chain rule from a loss to a parameter, step by step, with shapes and formulas."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from tinygrad_fm.debug.chain import Chain, find_chain
from tinygrad_fm.debug.symbols import Symbols, has_formula, size
from tinygrad_fm.engine import Node, quoted, source_line
from tinygrad_fm.graph.build import near
from tinygrad_fm.graph.model import shorten

LONGEST = 400  # characters of a formula that one can still read


def explain(loss: Any, parameter: Any) -> Explanation:
    """The chain rule from a loss to a parameter, as the backward pass computes it.

        print(tg.explain(loss, model[0].weight))          # or just in a notebook
        tg.explain(loss, w).to_markdown()                 # Markdown with LaTeX

    Every result between the two gets a symbol, and every step says which formula makes its gradient
    from those before, with the shapes, the operation, its module and line, and the norm of the
    gradient. Where a result is used several times its gradient is a sum. Norms are left out where
    the graph has been freed; all else is told then too. No `.grad` changes.

    Args:
        loss: a recorded Tensor; the gradient is that of the sum of its elements.
        parameter: a Tensor that requires a gradient; a result on the way will do as well.

    Returns:
        an `Explanation`: print it, or call `.to_markdown()`.

    Raises:
        TypeError: one of them is no Tensor.
        ValueError: no gradient leads from the loss to the parameter; the message says why: it is
            frozen, detached, unused, or an operation on the way has no derivative.
    """
    return Explanation(find_chain(loss, parameter))


class Explanation:
    """What `explain` found; `str` gives text, `to_markdown` Markdown with LaTeX."""

    def __init__(self, chain: Chain):
        self._chain = chain
        self._symbols = Symbols(chain)
        self._steps = {node: i + 1 for i, node in enumerate(chain.nodes)}

    def __repr__(self) -> str:
        return str(self)

    # ---- text ------------------------------------------------------------------------------------

    def __str__(self) -> str:
        return "\n".join([*self._opening(), "", *self._forward(), "", *self._backward()])

    def _opening(self) -> list[str]:
        chain, symbols = self._chain, self._symbols
        name = symbols.write(chain.parameter)
        called = next((said for key, _, said in symbols.legend if key is chain.parameter), "")
        return [
            f"The gradient of the loss L by {name}"
            + (f", which is {called}" if called not in ("", name) else "")
            + f" ({size(chain.parameter.shape)})",
            f"d{name} is the derivative of L by {name}, element by element, and has its shape; "
            "⊙ multiplies element by element.",
            *["L has several elements; the gradient is that of their sum."] * (chain.loss.size > 1),
        ]

    def _forward(self) -> list[str]:
        chain, symbols = self._chain, self._symbols
        rows = [
            (f"{symbols.write(n)} = {symbols.forward(n)}", size(n.shape), _where(n))
            for n in chain.nodes[::-1]
            if n is not chain.parameter
        ]
        known = [(symbols.write(key), shape, said) for key, shape, said in symbols.legend]
        lines = [f"Forward, from {symbols.write(chain.parameter)} to L", ""]
        return [*lines, *_table(rows), "", "where", "", *_table(known)]

    def _backward(self) -> list[str]:
        chain, symbols = self._chain, self._symbols
        lines = [f"Backward, from L to {symbols.write(chain.parameter)}", ""]
        rows = []
        for node, step in self._steps.items():
            rows.append((f"{step}. {self._equation(node)}", size(node.shape), self._norm(node)))
        digits = len(str(len(rows)))
        table = _table([(f"{'':>{digits - len(r[0].split('.')[0])}}{r[0]}", *r[1:]) for r in rows])
        for line, node in zip(table, chain.nodes, strict=True):
            lines.append(line)
            lines += [" " * (digits + 8) + detail for detail in self._details(node)]
        if chain.missing:
            lines += ["", f"Norms are left out: {chain.missing}."]
        composed = self._composed(latex=False)
        if composed:
            lines += ["", "Put together", "", f"    {composed}"]
        return lines

    # ---- Markdown --------------------------------------------------------------------------------

    def to_markdown(self) -> str:
        """The explanation as Markdown with LaTeX, as GitHub and Jupyter show it."""
        chain, symbols = self._chain, self._symbols
        name, called = symbols.write(chain.parameter, True), self._opening()[0]
        lines = [f"### {_code_free(called)}", ""]
        lines += [
            rf"$\mathrm{{d}}{name}$ stands for $\partial L / \partial {name}$ and has the shape of "
            rf"${name}$; $\odot$ multiplies element by element.",
            "",
            "**Forward**",
            "",
            "| result | shape | computed by |",
            "|---|---|---|",
        ]
        lines += [
            f"| ${symbols.write(n, True)} = {_cell(symbols.forward(n, True))}$ | {size(n.shape)} | "
            f"{_cell(_code_free(_where(n)))} |"
            for n in chain.nodes[::-1]
            if n is not chain.parameter
        ]
        lines += ["", "where", ""]
        lines += [
            f"- ${symbols.write(key, True)}$, {shape}: {_code_free(said)}"
            for key, shape, said in symbols.legend
        ]
        lines += ["", "**Backward**", ""]
        for node, step in self._steps.items():
            facts = [fact for fact in (size(node.shape), self._norm(node)) if fact]
            lines += [f"{step}. $\\displaystyle {self._equation(node, True)}$", ""]
            lines += [f"   {', '.join(facts)}  "]
            lines += [f"   {_code_free(detail)}  " for detail in self._details(node, True)]
            lines += [""]
        if chain.missing:
            lines += [f"Norms are left out: {chain.missing}.", ""]
        composed = self._composed(latex=True)
        if composed:
            lines += ["**Put together**", "", f"$$ {composed} $$", ""]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str | None:
        """For notebooks; nothing (then the text is shown) rather than an error."""
        try:
            return self.to_markdown()
        except Exception:
            return None

    # ---- one step --------------------------------------------------------------------------------

    def _equation(self, node: Node, latex: bool = False) -> str:
        symbols = self._symbols
        left = symbols.gradient(node, latex)
        if node is self._chain.loss:
            return f"{left} = 1"
        uses, terms = self._chain.uses[node], []
        for user, i in uses:
            term = symbols.contribution(user, i, symbols.gradient(user, latex), latex)
            apart = len(uses) > 1 and "'" in symbols.template(user, i)  # words, not signs
            terms.append(f"({term})" if apart else term)
        right = terms[0]
        for term in terms[1:]:
            right += f" - {term[1:]}" if term.startswith("-") else f" + {term}"
        return f"{left} = {right}"

    def _norm(self, node: Node) -> str:
        found = self._chain.norms.get(node)
        return "" if found is None else f"norm {found:.4g}"

    def _details(self, node: Node, latex: bool = False) -> list[str]:
        """Of each term of a step: the operation, the shapes of a product, the source of a rule."""
        uses = self._chain.uses[node]
        lines = [f"a sum, for it was used {len(uses)} times:"] if len(uses) > 1 else []
        for user, i in uses:
            words = f"by {_where(user, code=False)}"
            if self._chain.nodes[0] is not user and len(uses) > 1:
                words += f", with the gradient of step {self._steps[user]}"
            product = _product(user, i)
            if product:
                words += f"; {product}"
            elif _repeats(user, node):
                words += f"; summed back from {size(user.shape)} to {size(node.shape)}"
            lines.append(words)
            rule = _rule_source(user, i)
            if rule and has_formula(user) is None:
                lines.append(f"the rule: {rule}")
            merged = self._merged(user, latex)
            if merged:
                merged = f"{self._symbols.gradient(node, latex)} = {merged}"
                merged = f"${merged}$" if latex else merged
                lines.append(f"where each row of the targets sums to 1: {merged}")
        return lines

    def _merged(self, user: Node, latex: bool) -> str:
        """Softmax and cross-entropy in one formula, which is simpler than each; empty for others.

        It holds where each row of the targets sums to 1 (report 000, 3.3.5).
        """
        uses = self._chain.uses[user]
        if user.name != "log_softmax" or len(uses) != 1:
            return ""
        loss, i = uses[0]
        if loss.name != "cross_entropy" or len(loss.inputs) != 3 or i != 0:
            return ""
        symbols = self._symbols
        factor, targets = symbols.argument(loss, 2, latex), symbols.argument(loss, 1, latex)
        logits = symbols.argument(user, 0, latex)
        g = "" if loss is self._chain.loss else f" {symbols.gradient(loss, latex)}"
        softmax = r"\operatorname{softmax}" if latex else "softmax"
        return f"{factor}{g} ({softmax}({logits}) - {targets})"

    def _composed(self, latex: bool) -> str:
        """The last steps in one formula, as many as signs can say; empty where that is one step."""
        nodes, symbols = self._chain.nodes, self._symbols
        expression, steps = symbols.gradient(nodes[0], latex), 0
        for node in nodes[1:]:
            user, i = self._chain.uses[node][0]
            merged = self._merged(user, latex)
            template = symbols.template(user, i)
            if merged:
                expression, steps = merged, 1
            elif (
                len(self._chain.uses[node]) > 1
                or "'" in template.replace("Σ'rows'", "")  # words
                or template.count("<g>") > 1  # it would be written out twice
            ):
                expression, steps = symbols.gradient(node, latex), 0
            else:
                inner = f"({expression})" if " " in expression else expression
                expression, steps = symbols.contribution(user, i, inner, latex), steps + 1
            if len(expression) > LONGEST:
                return ""
        return f"{symbols.gradient(nodes[-1], latex)} = {expression}" if steps > 1 else ""


def _where(node: Node, code: bool = True) -> str:
    """The operation, its module and its line, with what is written there."""
    words = [node.name]
    if node.scope is not None:
        words.append(f"in {node.scope.path()}")
    if node.line:
        written = shorten(source_line(node.line)) if code else ""
        words.append(f"at {near(node.line)}" + (f": {written}" if written else ""))
    return ", ".join(words)


def _repeats(user: Node, node: Node) -> bool:
    """Whether an element-wise operation repeated its argument to fit the other one."""
    elementwise = user.primitive is not None and user.primitive.elementwise
    return elementwise and user.name != "matmul" and user.shape != node.shape


def _product(user: Node, i: int) -> str:
    """The shapes of a matrix product: `(784 × 32)(32 × 128)`."""
    if user.name not in ("linear", "matmul") or i > 1 or len(user.shape) != 2:
        return ""
    other = user.inputs[1 - i].shape[::-1]
    if len(other) != 2:
        return ""
    pair = (user.shape, other) if i == 0 else (other, user.shape)
    return "".join(f"({size(shape)})" for shape in pair)


def _rule_source(user: Node, i: int) -> str:
    """Where the rule stands, and its first line."""
    primitive = user.primitive
    if primitive is None:
        return ""
    rules = primitive.rules
    rule = primitive.joint or primitive.variadic or (rules[i] if i < len(rules) else None)
    try:
        code = inspect.unwrap(rule).__code__  # type: ignore[arg-type]
    except AttributeError:
        return ""
    return quoted(f"{near(f'{code.co_filename}:{code.co_firstlineno}')}")


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows as aligned columns."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "    " + "   ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _code_free(words: str) -> str:
    """Words in which Markdown sees no markup but formulas."""
    parts = words.split("$")
    for i in range(0, len(parts), 2):
        for sign in "\\`*_<>#[]":
            parts[i] = parts[i].replace(sign, "\\" + sign)
    return "$".join(parts)


def _cell(words: str) -> str:
    return words.replace("|", r"\|")
