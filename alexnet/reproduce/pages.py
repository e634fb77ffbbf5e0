"""The pages of a study: the paper's claims, and one page for each experiment, from cells alone.

Nothing is trained or read but the cells given. The same cells, in any order, give the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from alexnet.base.files import write_atomically
from alexnet.conventions import PAPER
from alexnet.figures.architecture import draw_architecture
from alexnet.figures.style import inline_svg
from alexnet.network.table import is_connected, shapes
from alexnet.reproduce import index, pictures, tables
from alexnet.reproduce.cells import Cell
from alexnet.reproduce.claims import claim
from alexnet.reproduce.evidence import Evidence, evidence
from alexnet.reproduce.experiments import Experiment, Study
from alexnet.reproduce.figure3 import kernels_of
from alexnet.reproduce.findings import Finding, chosen, findings, seconds_of
from alexnet.reproduce.seen import Seen, columns, row, seen
from alexnet.reproduce.verdicts import SIGNIFICANT

_TEMPLATES = Path(__file__).parent
_ARCHITECTURE = "The architecture"
_FIGURES = {"figure1": 1, "architecture": 2, "kernels": 3}  # of the paper, by page
_UNIT = re.compile(r"(?<=\d) (?=%|points|times|epochs|seeds?\b|runs?\b)")
_TITLE = "Every claim of the paper, put to the test"


def write_pages(study: Study, cells: Iterable[Cell], folder: Path) -> list[Path]:
    """Write index.html, a page for each experiment, and architecture.html to `folder`; their paths."""
    found = evidence(study, sorted(cells, key=lambda cell: cell.address.name))
    seconds = seconds_of(found.cells)
    results = {one.name: findings(found, one, seconds) for one in study.experiments}
    shown = _seen(found)
    environment = _environment()
    written = []

    def write(template: str, name: str, title: str, **page: Any) -> None:
        html = environment.get_template(template).render(
            study=study, title=title, footer=_footer(study), **page
        )
        path = folder / f"{name}.html"
        write_atomically(path, html.encode("utf-8", "backslashreplace"))
        written.append(path)

    folder.mkdir(parents=True, exist_ok=True)
    write("index.html.j2", "index", _TITLE, **_index(found, results, shown))
    for one in study.experiments:
        page = _experiment(found, one, results[one.name], shown)
        write("experiment.html.j2", one.name, one.title, **page)
    write("architecture.html.j2", "architecture", _ARCHITECTURE, **_architecture())
    return written


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_unbroken,
    )
    environment.filters["upper_first"] = lambda text: text[:1].upper() + text[1:]
    return environment


def _unbroken(value: object) -> object:
    """Text whose numbers and their units stay in one line."""
    return _UNIT.sub("\N{NO-BREAK SPACE}", value) if type(value) is str else value


def _footer(study: Study) -> str:
    return f"Made from cells alone by alexnet reproduce page --scale {study.scale}."


# --- The index ------------------------------------------------------------------------------------


def _index(
    found: Evidence,
    results: Mapping[str, Sequence[Finding]],
    shown: Mapping[str, tuple[str, Seen]],
) -> dict[str, Any]:
    entries = index.entries(found.study, results, shown)
    used = _all(found)
    titles = {one.name: one.title for one in found.study.experiments}
    titles |= {"architecture": _ARCHITECTURE}
    return {
        "has_cells": bool(used),
        "tally": index.tally(entries),
        "sections": index.sections(entries),
        "significant": SIGNIFICANT,
        "figures": [
            {"number": number, "name": name, "title": titles[name]}
            for name, number in _FIGURES.items()
            if name in titles
        ],
        "experiments": [
            {"name": one.name, "title": one.title, "seeds": _pairs(found, one)}
            for one in found.study.experiments
        ],
        "conditions": tables.conditions(used, found.stale),
    }


def _all(found: Evidence) -> list[Cell]:
    return [cell for some in found.cells.values() for cell in some]


def _pairs(found: Evidence, experiment: Experiment) -> str:
    """How many seeds the comparisons have: "6", or "3 to 6"."""
    counts = sorted({len(found.pairs(one)) for one in experiment.comparisons})
    return " to ".join(str(one) for one in dict.fromkeys((counts[0], counts[-1])))


def _seen(found: Evidence) -> dict[str, tuple[str, Seen]]:
    """What experiments show of claims that compare nothing, by claim."""
    shown: dict[str, tuple[str, Seen]] = {}
    for one in found.study.experiments:
        if not one.shows:
            continue
        cells = list(chosen(found, one)[one.comparisons[0].arm].values())
        shown |= {name: (one.name, seen(name, cells)) for name in one.shows}
    return shown


# --- An experiment --------------------------------------------------------------------------------


def _experiment(
    found: Evidence,
    experiment: Experiment,
    results: Sequence[Finding],
    shown: Mapping[str, tuple[str, Seen]],
) -> dict[str, Any]:
    cells = chosen(found, experiment)
    used = sorted({cell.address.path().name for some in cells.values() for cell in some.values()})
    paired = {
        id(cell)
        for two in experiment.comparisons
        for pair in found.pairs(two)
        for cell in (pair.arm, pair.without)
    }
    mine = [cell for name in cells for cell in found.cells[name]]
    others = {id(cell) for name in experiment.others for cell in found.cells[name]}
    return {
        "experiment": experiment,
        "has_cells": bool(mine),
        "figure1": _figure1(found) if _FIGURES.get(experiment.name) == 1 else None,
        "findings": _groups(found, experiment, results),
        "kernels": _figure3(found, cells) if _FIGURES.get(experiment.name) == 3 else [],
        "measured": columns(),
        "shown": [
            {"claim": claim(name), "text": _sentence(*each)}
            for name, each in shown.items()
            if name in experiment.shows
        ],
        "arms": tables.arms(found, experiment, cells),
        "tested": tables.tested(cells),
        "curves": pictures.curves(experiment, cells),
        "commands": [
            f"alexnet reproduce run {experiment.name} --scale {found.study.scale}",
            f"alexnet reproduce page --scale {found.study.scale}",
        ],
        "conditions": tables.conditions(
            mine, [one for one in found.stale if one.cell.arm in cells]
        ),
        "used": used,
        "unpaired": [cell.address.path().name for cell in mine if id(cell) not in paired | others],
    }


def _groups(
    found: Evidence, experiment: Experiment, results: Sequence[Finding]
) -> list[dict[str, Any]]:
    """The findings by comparison, each with its figures and its table."""
    groups = []
    for comparison in experiment.comparisons:
        mine = [one for one in results if one.comparison is comparison]
        metrics = []
        for one in mine:
            row = index.row_of(found.study, experiment.name, one)
            picture = pictures.seeds(one)
            metrics.append({"row": row, "title": tables.title(one), "picture": picture})
        groups.append(
            {
                "claim": claim(comparison.claim),
                "comparison": comparison,
                "metrics": metrics,
                "rows": tables.statistics(mine),
            }
        )
    return groups


def _figure1(found: Evidence) -> dict[str, Any]:
    return {
        "races": pictures.races(found),
        "sweeps": pictures.sweeps(found),
        "rates": tables.rates(found),
    }


def _figure3(found: Evidence, cells: Mapping[str, Mapping[int, Cell]]) -> list[dict[str, Any]]:
    """The kernels of every run that kept them."""
    return [
        {"arm": name, "shown": one, "measures": row(one.measures, one.shares, one.updates)}
        for name, some in cells.items()
        for one in kernels_of(found.study.arms[name], list(some.values()))
    ]


def _sentence(experiment: str, shown: Seen) -> str:
    return " ".join(
        [*(f"{number[:1].upper()}{number[1:]}." for number in shown.numbers), shown.text]
    )


# --- Figure 2 -------------------------------------------------------------------------------------


def _architecture() -> dict[str, Any]:
    table = shapes(PAPER)
    rows = [
        {
            "layer": row.layer,
            "sees": f"{row.inputs_seen:,}"
            if is_connected(row.layer)
            else f"{row.layer.size}×{row.layer.size}×{row.inputs_seen}",
            "output": "×".join(map(str, row.outputs if row.outputs[1] > 1 else row.outputs[:1])),
            "neurons": row.neurons,
            "parameters": row.parameters,
        }
        for row in table
    ]
    described = (
        "The network: two columns of five convolutional layers, then three fully connected ones"
    )
    return {
        "svg": inline_svg(draw_architecture(PAPER), described),
        "rows": rows,
        "neurons": sum(row.neurons for row in table),
        "parameters": sum(row.parameters for row in table),
    }
