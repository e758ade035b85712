"""What a check found: for a terminal, as Markdown, as plain values, and as JUnit's XML."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from tinygrad_fm.testing.backward.judge import Comparison, name_factor
from tinygrad_fm.testing.backward.pairing import same_shape

if TYPE_CHECKING:
    from tinygrad_fm.testing.backward.lines import WrongLine
    from tinygrad_fm.testing.backward.smallest import Smallest


LONG = 32  # characters of an expression that is returned, and has no name


@dataclass
class BackwardReport:
    """What check_backward found: print it.

    Attributes:
        verdict: "right", "right up to a convention" or "wrong".
        comparisons: one for each parameter, and for the input where its gradient is given.
        convention: the factor that all gradients have in common, in words.
        line: the first wrong line.
        notes: what else a person should know.
        usual: the factor that most of the gradients have.
        smallest: the mistake in arrays of two or three.
        stepped: the first lines of the functions that ran in the updates that were looked at.
    """

    title: str
    verdict: str
    comparisons: list[Comparison] = field(default_factory=list)
    convention: str = ""
    line: WrongLine | None = None
    notes: list[str] = field(default_factory=list)
    usual: float = 1.0
    samples: int = 1
    outputs: int = 1
    smallest: Smallest | None = None
    stepped: set[int] = field(default_factory=set)

    @property
    def is_right(self) -> bool:
        """Whether the gradients are right, perhaps up to a convention."""
        return self.verdict != "wrong"

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.verdict}"]
        if self.convention:
            lines.append(f"  every gradient is the true one times {self.convention}")
        if self.line is not None:
            made = self.line.made
            lines.append(
                f"  first wrong line: {Path(made.file).name}:{made.line}, in {made.function}"
            )
            lines.append(f"      {self.line.source}")
            lines += [f"      {text}" for text in self._why()]
        if self.smallest is not None:
            lines.append("  smallest case:")
            lines += [f"      {text}" for text in self.smallest.to_lines()]
        width = max((len(c.parameter) for c in self.comparisons), default=0)
        lines += [f"  {c.parameter:<{width}}  {self.say(c)}" for c in self.comparisons]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def _why(self) -> list[str]:
        assert self.line is not None
        said = [self.line.slip] if self.line.slip else []
        return said + ([f"it should be: {self.line.formula}"] if self.line.formula else [])

    def say(self, c: Comparison) -> str:
        """One comparison in words."""
        if len(c.place) > LONG:
            c = replace(c, place="what is returned")
        if not c.place:
            return "has no gradient"
        if c.excused:
            return f"right ({c.place}), {c.excused}"
        if c.is_right:
            return f"right ({c.place})"
        if c.terms:
            return f"wrong ({c.place}): {c.terms}"
        if not same_shape(np.asarray(c.theirs), c.truth):
            return f"{c.place} has the shape {np.shape(c.theirs)}, it should be {np.shape(c.truth)}"
        if c.factor is not None:
            if self.convention:
                return f"right but for that factor ({c.place})"
            if self.usual != 1 and abs(c.factor / self.usual - 1) < 1e-5:
                return f"right but for the factor {c.factor:.6g} that most have ({c.place})"
            words = name_factor(c.factor / self.usual, self.samples, self.outputs)
            beside = f", beside {self.usual:.6g} of the others" if self.usual != 1 else ""
            if np.size(c.truth) > 1 or words != f"{c.factor:.6g}":
                said = "" if words == f"{c.factor:.6g}" else f": {words}"
                return f"{c.place} is the true gradient times {c.factor:.6g}{beside}{said}"
        theirs = np.reshape(c.theirs, np.shape(c.truth))
        difference = np.abs(theirs - c.truth)
        worst = np.unravel_index(int(np.argmax(difference)), np.shape(c.truth))
        where = f"at {tuple(int(i) for i in worst)} " if worst else ""
        return f"wrong ({c.place}): {where}it is {theirs[worst]:.6g}, truly {c.truth[worst]:.6g}"

    def to_markdown(self) -> str:
        """The report as Markdown."""
        lines = [f"### {self.title}: {self.verdict}", ""]
        if self.convention:
            lines += [f"Every gradient is the true one times {self.convention}.", ""]
        if self.line is not None:
            made = self.line.made
            lines += [
                f"First wrong line: `{Path(made.file).name}:{made.line}`, in `{made.function}`",
                "",
            ]
            lines += ["```python", self.line.source, "```", ""]
            lines += [f"- {text}" for text in self._why()] + [""]
        if self.smallest is not None:
            lines += ["Smallest case:", "", "```text", *self.smallest.to_lines(), "```", ""]
        lines += ["| parameter | gradient |", "|---|---|"]
        lines += [f"| `{c.parameter}` | {self.say(c)} |" for c in self.comparisons]
        lines += ["", *(f"- {note}" for note in self.notes)]
        return "\n".join(lines).rstrip() + "\n"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values."""
        line = self.line
        return {
            "name": self.title,
            "verdict": self.verdict,
            "convention": self.convention,
            "gradients": [
                {
                    "parameter": c.parameter,
                    "place": c.place,
                    "right": c.is_right,
                    "factor": c.factor,
                    "said": self.say(c),
                }
                for c in self.comparisons
            ],
            "line": None
            if line is None
            else {
                "file": line.made.file,
                "line": line.made.line,
                "function": line.made.function,
                "source": line.source,
                "slip": line.slip,
                "formula": line.formula,
            },
            "smallest": None if self.smallest is None else self.smallest.to_dict(),
            "notes": self.notes,
        }


def to_junit(found: Iterable[tuple[str, str, BackwardReport | str]]) -> str:
    """JUnit's XML of (file, name, report or the reason why there is none)."""
    suite = ElementTree.Element("testsuite", name="tinygrad_fm check")
    failures = errors = tests = 0
    for file, name, report in found:
        tests += 1
        case = ElementTree.SubElement(suite, "testcase", classname=file, name=name)
        if isinstance(report, str):
            errors += 1
            ElementTree.SubElement(case, "error", message=report)
        elif not report.is_right:
            failures += 1
            ElementTree.SubElement(case, "failure", message=report.verdict).text = str(report)
    suite.attrib.update(tests=str(tests), failures=str(failures), errors=str(errors))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
