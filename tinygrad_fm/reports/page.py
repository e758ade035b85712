"""All of it on one page: what the reports say, what was measured, and the pictures."""

from __future__ import annotations

import base64
import html
import io
import itertools
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from tinygrad_fm.plots.style import style
from tinygrad_fm.reports.compare import HEADER, Compared, Line, compare_all
from tinygrad_fm.reports.figures import figures
from tinygrad_fm.reports.recipe import Report


def to_html(reports: Iterable[Report], home: Path) -> tuple[str, int]:
    """The page, and how many figures are on it. It needs no other file and no network.

    Raises:
        ValueError: nothing was run as the recipes say.
        plots.PlotError: matplotlib is missing.
    """
    found = compare_all(reports, home)
    contents, sections, count = [], [], 0
    for report, group in itertools.groupby(found, key=lambda compared: compared.report):
        parts = []
        for compared in group:
            drawn = [_figure(caption, figure) for caption, figure in figures(compared, home)]
            count += len(drawn)
            parts.append(_experiment(compared, drawn))
        contents.append(f'<a href="#{report.name}">{html.escape(report.name)}</a>')
        sections.append(_section(report, parts))
    verdicts = [line.verdict for compared in found for line in compared.lines]
    exact, within = (verdicts.count(word) for word in ("exact", "within"))
    page = resources.files("tinygrad_fm.reports").joinpath("page.html").read_text(encoding="utf-8")
    summary = (
        f"{len(verdicts)} numbers: {exact} exact, {within} within the spread of runs, "
        f"{len(verdicts) - exact - within} not, or of one run only"
    )
    for name, text in (
        ("CONTENTS", " ".join(contents)),
        ("SUMMARY", html.escape(summary)),
        ("SECTIONS", "\n".join(sections)),
    ):
        before, _, after = page.partition("{{" + name + "}}")
        page = before + text + after
    return page, count


def _section(report: Report, parts: Sequence[str]) -> str:
    title = html.escape(report.title)
    return (
        f'<section id="{report.name}"><h2><small>report {report.number}</small> '
        f"{report.name}: {title}</h2>{''.join(parts)}</section>"
    )


def _experiment(compared: Compared, drawn: Sequence[str]) -> str:
    experiment, lines = compared.experiment, compared.lines
    note = f"<p>{html.escape(experiment.note)}</p>" if experiment.note else ""
    return (
        f'<article id="{compared.report.name}-{experiment.row}"><h3><b>{experiment.row}</b> '
        f"{html.escape(experiment.title)}</h3>{note}"
        f"<p class=facts>{html.escape(compared.facts)}</p>{_table(lines, compared.runs)}"
        f"<div class=figures>{''.join(drawn)}</div></article>"
    )


def _table(lines: Sequence[Line], runs: Sequence[dict[str, Any]]) -> str:
    if not lines:
        names = [k for k, v in runs[0]["measures"].items() if isinstance(v, float)]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ["", *names])
        rows = [
            "".join(
                [f"<td>{html.escape(run['name'].split('/', 2)[-1])}</td>"]
                + [
                    f"<td class=number>{run['measures'].get(n, float('nan')):.4g}</td>"
                    for n in names
                ]
            )
            for run in runs
        ]
    else:
        head = "".join(f"<th>{name}</th>" for name in HEADER)
        rows = []
        for line in lines:
            name, measure, *numbers, verdict = line.cells()
            kind = re.sub(r"[^a-z]+", "-", verdict)
            rows.append(
                f"<td>{html.escape(name.split('/', 1)[1])}</td><td>{html.escape(measure)}</td>"
                + "".join(f"<td class=number>{html.escape(cell)}</td>" for cell in numbers)
                + f'<td><span class="verdict {kind}">{html.escape(verdict)}</span></td>'
            )
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    table = (
        f"<div class=table><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
    if len(rows) <= 30:
        return table
    return f"<details><summary>{len(rows)} numbers</summary>{table}</details>"


def _figure(caption: str, figure: Any) -> str:
    """As part of the page: text stays sharp in SVG, and many small images are smaller in PNG."""
    many = len(figure.axes) > 8
    stream = io.BytesIO()
    with style():
        kind = "png" if many else "svg"
        facts: dict[str, Any] = {"Software": None} if many else {"Date": None}
        figure.savefig(stream, format=kind, dpi=130, metadata=facts)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    mime = "image/png" if many else "image/svg+xml"
    width = round(figure.get_figwidth() * 96)
    text = html.escape(caption, quote=True)
    return (
        f'<figure><img alt="{text}" width={width} src="data:{mime};base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )
