"""Table 1 of the paper, with rows for other datasets and modalities, and columns for the floors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aims.core.vocabulary import MODALITIES
from aims.reports.paper.cells import FilledCell, FilledTable, fill_cells
from aims.reports.paper.description import PaperCell, PaperTable, RunQuery
from aims.reports.paper.published import PAPER_PROTOCOL, TABLE1_METHODS
from aims.reports.runs.conditions import by_condition
from aims.reports.runs.floors import FLOORS, load_floor_notes
from aims.reports.runs.results import Result
from aims.reports.tables.numbers import decimals, percent
from aims.reports.tables.results_table import (
    CONDITION_FIELDS,
    RESULT_FIELDS,
    condition_fields,
    result_fields,
    write_csv,
)
from aims.reports.tables.scores import Score

_FLOORS_NOTE = (
    f"{' and '.join(FLOORS)} are floors that see no sensor: one disc around every click, and the best disc "
    "for each. A result below the first is marked."
)


def fill_table1(paper: PaperTable, results: Sequence[Result]) -> tuple[FilledTable, ...]:
    """Fills Table 1 once per condition; without runs, once with the published numbers alone.

    Results with non-default options (another kernel, another rank), with other initial weights (`init`) or
    with a part of the training images are not comparable to the paper's and are left out. Floors have
    neither backbone nor weights: they are in every table of their protocol and limit.

    Args:
        paper: description of the paper's table.
        results: every finished run, pooled over seeds.
    """
    plain = [
        result
        for result in results
        if result.config.method in TABLE1_METHODS
        and not (result.config.options or result.config.train_images or result.config.init)
    ]
    filled = [
        fill_cells(_with_others(paper, members), condition, members)
        for condition, members in by_condition(plain)
    ]
    return tuple(_with_floors(table, results) for table in filled or [fill_cells(paper, None, ())])


def _with_others(paper: PaperTable, results: Sequence[Result]) -> PaperTable:
    """A copy with a row for every dataset and modality that the paper lacks.

    A dataset of which several contents were used has a row per content, also where the paper has it.
    """
    contents: dict[tuple[str, str], set[str]] = {}
    for result in results:
        config = result.config
        contents.setdefault((config.dataset, config.modality), set()).add(config.fingerprint)
    printed = {(MODALITIES[name].datasets[0], name) for name in paper.rows if name in MODALITIES}
    cells: list[PaperCell] = []
    for (dataset, modality), fingerprints in sorted(contents.items()):
        several = len(fingerprints) > 1
        if (dataset, modality) in printed and not several:
            continue
        for fingerprint in sorted(fingerprints):
            label = f"{dataset} / {modality}" + (f" (content {fingerprint[:8]})" if several else "")
            cells += [
                PaperCell(
                    row=label,
                    column=column,
                    query=RunQuery(
                        method=method, modality=modality, dataset=dataset, fingerprint=fingerprint
                    ),
                )
                for method, column in TABLE1_METHODS.items()
            ]
    return paper.extended(cells, "other")


def _with_floors(table: FilledTable, results: Sequence[Result]) -> FilledTable:
    """A copy with a column for every floor, scored on the test instances of each row."""
    condition = table.condition
    floors = [
        result
        for result in results
        if condition
        and result.config.method in FLOORS
        and (result.config.protocol, result.config.limit) == (condition.protocol, condition.limit)
    ]
    paper = table.paper.extended(
        [PaperCell(row=row, column=floor) for row in table.paper.rows for floor in FLOORS]
    )
    found: dict[tuple[str, str], Score] = {}
    for row in table.paper.rows:
        for floor in FLOORS:
            here = [result for result in floors if result.config.method == floor]
            if chosen := _floor(table, row, here):
                found[row, floor] = Score.of(chosen)
    for floor in FLOORS:
        scores = [found.get((row, floor)) for row in paper.rows if paper.blocks.get(row) == "paper"]
        known = [score.value for score in scores if score]
        if len(known) == len(scores):
            found["average", floor] = Score(value=sum(known) / len(known))
    cells = {place: table.cells.get(place, FilledCell(cell=cell)) for place, cell in paper.cells.items()}
    cells |= {place: dataclasses.replace(cells[place], score=score) for place, score in found.items()}
    notes = (*table.notes, load_floor_notes()[condition.protocol if condition else PAPER_PROTOCOL])
    return dataclasses.replace(
        table,
        paper=dataclasses.replace(paper, notes=(*paper.notes, _FLOORS_NOTE)),
        cells=cells,
        notes=notes,
    )


def _floor(table: FilledTable, row: str, floors: Sequence[Result]) -> Result | None:
    """A floor's result on the test instances of a row; the highest, as seeds choose different radii."""
    filled = [table.cells[place] for place in table.cells if place[0] == row]
    keys = {each.result.test_key for each in filled if each.result}
    query = next((each.cell.query for each in filled if each.cell.query), None)
    if not keys and query:
        keys = {item.test_key for item in floors if query.is_of(item.config)}
    # With several contents of a dataset, it is not known which one the row stands for.
    there = [item for item in floors if item.test_key in keys] if len(keys) == 1 else []
    return max(there, key=lambda item: item.miou, default=None)


def table1_csv(tables: Sequence[FilledTable]) -> str:
    """Table 1 in long form, one line per cell.

    `weights` are the initial weights in the table's condition, `cell_weights` those of the cell's runs, which
    are "random" for scratch.
    """
    lines = (
        {
            **condition_fields(table.condition),
            **place,
            # Before `result_fields`, which replaces both: a mean has a score but no result.
            "method": method,
            "miou": percent(cell.score.value) if cell.score else "",
            **result_fields(cell.result),
            "cell_weights": cell.result.config.weights if cell.result else "",
            "published": decimals(cell.cell.published),
        }
        for table in tables
        for _, place, cells in _rows(table)
        for method, cell in cells.items()
        # Cells of the paper are listed even without a run; empty cells of other rows and of floors are not.
        if cell.score or (place["row"] != "other" and method not in FLOORS)
    )
    return write_csv((*CONDITION_FIELDS, "row", *RESULT_FIELDS, "cell_weights", "published"), lines)


def table1_json(table: FilledTable) -> dict[str, Any]:
    """Table 1 under one condition as plain types; published numbers in percent, ours in 0..1."""
    fields = dataclasses.asdict(table.condition) if table.condition else dict.fromkeys(CONDITION_FIELDS)
    footnotes = dict.fromkeys(cell.cell.note for cell in table.cells.values() if cell.cell.note)
    return {
        **fields,
        "rows": [
            {
                "label": label,
                "kind": place["row"],
                "dataset": place["dataset"],
                "modality": place["modality"],
                "cells": {
                    method: {
                        "published": cell.cell.published,
                        "miou": cell.score.value if cell.score else None,
                        "result": cell.result.as_json() if cell.result else None,
                    }
                    for method, cell in cells.items()
                },
            }
            for label, place, cells in _rows(table)
        ],
        "notes": [*footnotes, *table.notes],
    }


def _rows(table: FilledTable) -> Iterator[tuple[str, dict[str, str], Mapping[str, FilledCell]]]:
    """Yields for every row its label, its kind with dataset and modality, and its cells by method."""
    methods = {column: method for method, column in TABLE1_METHODS.items()}
    for row in table.paper.rows:
        cells = {methods.get(column, column): table.cells[row, column] for column in table.paper.columns}
        query = cells["scratch"].cell.query
        place = (query.place, query.modality) if query else ("", "average")
        kind = str(table.paper.blocks[row])
        yield row, {"row": kind, "dataset": place[0], "modality": place[1]}, cells
