"""Table 1 of the paper, one section per protocol, backbone, weights and limit: these never share a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aims.core.vocabulary import MODALITIES, PROTOCOLS
from aims.report.paper.published import PAPER_PROTOCOL, TABLE1_METHODS, PublishedTable1
from aims.report.runs.conditions import Condition, by_condition
from aims.report.runs.floors import FLOORS, load_floor_notes
from aims.report.runs.results import Result


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One method in one row.

    Attributes:
        published: the paper's number in percent, where this row is the paper's.
        miou: ours, 0..1, or None where there is no run.
        result: what `miou` comes from; None for an average.
        footnote: about the published number.
    """

    published: float | None = None
    miou: float | None = None
    result: Result | None = None
    footnote: str | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a section.

    Attributes:
        label: as shown.
        kind: "paper" (one of the paper's five), "average", or "other" (never beside a published number).
        dataset: name of the dataset, empty for the average.
        modality: name of the modality, "average" for the average.
        cells: by method, the floors last.
    """

    label: str
    kind: str
    dataset: str
    modality: str
    cells: Mapping[str, Cell]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One Table 1.

    Attributes:
        condition: what its results share; None for the empty table of a report without runs.
        rows: the paper's five, their average, then other datasets and modalities.
        notes: what was not picked, and why.
        floor_note: what the floors score on real label maps.
    """

    condition: Condition | None
    rows: tuple[Row, ...]
    floor_note: str
    notes: tuple[str, ...] = ()

    @property
    def has_paper_runs(self) -> bool:
        """Whether any of the paper's five has a result of ours."""
        cells = (cell for row in self.rows if row.kind == "paper" for cell in row.cells.values())
        return any(cell.result is not None for cell in cells)

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Footnotes of the published numbers, in the order of their marks."""
        notes = [cell.footnote for row in self.rows for cell in row.cells.values() if cell.footnote]
        return tuple(dict.fromkeys(notes))


def build_sections(results: list[Result], published: PublishedTable1) -> tuple[Section, ...]:
    """Lays out Table 1 once per condition; without runs, one section with the published numbers alone.

    Results with changed options (another kernel, another rank) are of other models than the paper's, those of
    a part of the training images of other data: they stand in the table of all results alone. Floors have
    neither backbone nor weights: they stand in every section of their protocol and limit.
    """
    floors = [result for result in results if result.is_floor]
    plain = [
        result
        for result in results
        if result.config.method in TABLE1_METHODS
        and not (result.config.options or result.config.train_images or result.config.init)
    ]
    sections = []
    for condition, members in by_condition(plain):
        place = condition.protocol, condition.limit
        beside = [item for item in floors if (item.config.protocol, item.config.limit) == place]
        sections.append(_section(condition, [*members, *beside], published))
    return tuple(sections) or (_section(None, [], published),)


def _section(condition: Condition | None, results: list[Result], published: PublishedTable1) -> Section:
    floors = [result for result in results if result.is_floor]
    places: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for result in results:
        if result.is_floor:  # they stand in the rows of others
            continue
        config = result.config
        by_content = places.setdefault((config.dataset, config.modality), {})
        by_content.setdefault(config.fingerprint, []).append(result)
    notes: list[str] = []
    rows = []
    for modality in published.modalities:
        place = (MODALITIES[modality].datasets[0], modality)
        if len(places.get(place, {})) > 1:  # neither content is picked: both become rows of their own below
            notes.append(_contents_note(place, list(places[place])))
            members = []
        else:
            members = [item for content in places.pop(place, {}).values() for item in content]
        rows.append(_paper_row(place, members, floors, published, notes))
    rows.append(_average_row(rows, published))
    for place, contents in sorted(places.items()):
        for fingerprint, members in sorted(contents.items()):
            named = fingerprint if len(contents) > 1 else None
            rows.append(_other_row(place, named, members, floors, notes))
    note = load_floor_notes()[condition.protocol if condition else PAPER_PROTOCOL]
    return Section(condition=condition, rows=tuple(rows), floor_note=note, notes=tuple(notes))


def _contents_note(place: tuple[str, str], fingerprints: list[str]) -> str:
    listed = ", ".join(fingerprint[:8] for fingerprint in sorted(fingerprints))
    return (
        f"{place[0]} / {place[1]}: runs used different contents of this dataset (fingerprints {listed}). "
        "They are not pooled and none stands in the paper's row."
    )


def _paper_row(
    place: tuple[str, str],
    members: list[Result],
    floors: list[Result],
    published: PublishedTable1,
    notes: list[str],
) -> Row:
    dataset, modality = place
    cells = {}
    for method in TABLE1_METHODS:
        result = select([item for item in members if item.config.method == method], modality, notes)
        cells[method] = Cell(
            published=published.miou[method][modality],
            miou=result.miou if result else None,
            result=result,
            footnote=published.footnotes.get((method, modality)),
        )
    here = [item for item in floors if (item.config.dataset, item.config.modality) == place]
    cells |= _floor_cells(members or here, floors)
    return Row(label=modality, kind="paper", dataset=dataset, modality=modality, cells=cells)


def _average_row(rows: list[Row], published: PublishedTable1) -> Row:
    cells = {}
    for method in (*TABLE1_METHODS, *FLOORS):
        ours = [row.cells[method].miou for row in rows]
        known = [value for value in ours if value is not None]
        cells[method] = Cell(
            published=published.average.get(method),
            miou=sum(known) / len(known) if len(known) == len(ours) else None,
        )
    return Row(label="Average", kind="average", dataset="", modality="average", cells=cells)


def _other_row(
    place: tuple[str, str],
    fingerprint: str | None,
    members: list[Result],
    floors: list[Result],
    notes: list[str],
) -> Row:
    dataset, modality = place
    label = f"{dataset} / {modality}" + (f" (content {fingerprint[:8]})" if fingerprint else "")
    cells = {}
    for method in TABLE1_METHODS:
        result = select([item for item in members if item.config.method == method], label, notes)
        cells[method] = Cell(miou=result.miou if result else None, result=result)
    cells |= _floor_cells(members, floors)
    return Row(label=label, kind="other", dataset=dataset, modality=modality, cells=cells)


def _floor_cells(members: list[Result], floors: list[Result]) -> dict[str, Cell]:
    """The floors of a row: those on its members' test instances, whatever modality they were asked for."""
    keys = {member.test_key for member in members}
    cells = {}
    for method in FLOORS:
        there = [item for item in floors if item.config.method == method and item.test_key in keys]
        # Of several contents of a dataset none is picked.
        result = max(there, key=lambda item: item.miou, default=None) if len(keys) == 1 else None
        cells[method] = Cell(miou=result.miou if result else None, result=result)
    return cells


def select(candidates: list[Result], label: str, notes: list[str]) -> Result | None:
    """Chooses among settings on the split on which the protocol selects."""
    if len(candidates) < 2:
        return candidates[0] if candidates else None
    if PROTOCOLS[candidates[0].config.protocol].select_on == "test":
        return max(candidates, key=lambda item: item.miou)
    validated = [(item.val_miou, item) for item in candidates if item.val_miou is not None]
    unvalidated = len(candidates) - len(validated)
    if unvalidated:
        notes.append(
            f"{label}, {candidates[0].config.method}: {unvalidated} of {len(candidates)} settings without a "
            "validation score cannot be chosen; every setting stands in results.md."
        )
    return max(validated, key=lambda pair: pair[0])[1] if validated else None


def section_json(section: Section) -> dict[str, Any]:
    """A section ready for JSON; published numbers in percent, ours from 0 to 1."""
    condition = section.condition
    return {
        "protocol": condition.protocol if condition else None,
        "backbone": condition.backbone if condition else None,
        "limit": condition.limit if condition else None,
        "weights": condition.weights if condition else None,
        "rows": [
            {
                "label": row.label,
                "kind": row.kind,
                "dataset": row.dataset,
                "modality": row.modality,
                "cells": {
                    method: {
                        "published": cell.published,
                        "miou": cell.miou,
                        "result": cell.result.as_json() if cell.result else None,
                    }
                    for method, cell in row.cells.items()
                },
            }
            for row in section.rows
        ],
        "notes": [*section.footnotes, *section.notes, section.floor_note],
    }
