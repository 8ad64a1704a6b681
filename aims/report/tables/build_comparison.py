"""Lays out the comparison tables: which results share one, what stands where, what is tested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aims.core.config import NO_TUNING, RANDOM_WEIGHTS, TELLING_SETTINGS, RunConfig
from aims.core.errors import InputError
from aims.core.vocabulary import MODALITIES
from aims.report.runs.conditions import Condition, by_start
from aims.report.runs.floors import DISC, FLOORS
from aims.report.runs.results import Result
from aims.report.statistics.paired import (
    Difference,
    Sample,
    Verdict,
    compare,
    mean_of_samples,
    sample_scores,
    with_holm,
)
from aims.report.tables.comparison import MEAN, Comparison, ComparisonCell, ComparisonRow

#: What the others are tested against where nothing else is asked for.
REFERENCE = "simcmf"
#: What may tell rows of one method and tuning apart, and its word before a number.


def build_comparisons(results: Sequence[Result], against: str | None = None) -> tuple[Comparison, ...]:
    """Lays out the tables: one a dataset, content, protocol, backbone, weights and limit.

    Modalities that stack RGB with a sensor have tables of their own. Scratch starts from random weights by
    definition and stands beside every start. Floors have neither backbone nor weights: they stand on top of
    every table of their test instances.

    Args:
        results: every finished run, grouped over seeds.
        against: the row that others are tested against, METHOD or METHOD:TUNING; None takes simcmf with
            its default tuning, or where that is missing the best row.

    Raises:
        InputError: no table has a row of that name.
    """
    tables = tuple(_table(condition, members, results, against) for condition, members in _shares(results))
    if against is not None and not any(table.reference for table in tables):
        rows = {f"{item.config.method}:{item.config.tuning}" for item in results if not item.is_floor}
        raise InputError(
            f"--against {against}: no run of this; there are: {', '.join(sorted(rows)) or 'none'}"
        )
    return tables


def _shares(results: Sequence[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Results that share a table; floors only where nothing else is there."""
    places: dict[tuple[Any, ...], list[Result]] = {}
    for item in results:
        config = item.config
        key = (config.dataset, config.fingerprint, config.protocol, config.limit or 0)
        places.setdefault(key, []).append(item)
    for _, there in sorted(places.items()):
        kinds: dict[tuple[bool, str], list[Result]] = {}
        for item in [item for item in there if not item.is_floor] or there:
            name, backbone = item.config.modality, item.config.backbone
            kinds.setdefault((name in MODALITIES and MODALITIES[name].mixes_rgb, backbone), []).append(item)
        for _, members in sorted(kinds.items(), key=lambda pair: pair[0]):
            yield from by_start(members)


@dataclass(kw_only=True, eq=False)
class _Draft:
    """A row in the making: what is known by modality, and of the mean."""

    results: dict[str, Result]
    detail: str = ""
    samples: dict[str, Sample] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    ranks: dict[str, str] = field(default_factory=dict)
    from_best: dict[str, Difference | None] = field(default_factory=dict)
    differences: dict[str, Difference] = field(default_factory=dict)

    @property
    def first(self) -> Result:
        return next(iter(self.results.values()))

    @property
    def method(self) -> str:
        return self.first.config.method

    @property
    def tuning(self) -> str:
        return self.first.config.tuning

    def value(self, column: str) -> float | None:
        result = self.results.get(column)
        return self.means.get(column) if result is None else result.miou


def _table(
    condition: Condition, members: Sequence[Result], everything: Sequence[Result], against: str | None
) -> Comparison:
    modalities = _in_order({item.config.modality for item in members})
    learned = _drafts([item for item in members if not item.is_floor])
    mean_over = _mean_over(modalities, learned)
    floors = [
        _Draft(results=found)
        for method in _floors(everything)
        if (found := _floor(method, members, modalities, everything))
    ]
    notes: list[str] = []
    for draft in (*floors, *learned):
        if mean_over and all(name in draft.results for name in mean_over):
            draft.means[MEAN] = float(np.mean([draft.results[name].miou for name in mean_over]))
    learned.sort(key=lambda draft: _standing(draft, mean_over))
    _describe(learned)
    drafts = [*floors, *learned]
    _sample(drafts, mean_over)
    columns = (*modalities, MEAN) if mean_over else modalities
    _rank(learned, columns)
    reference = _reference(learned, condition, against)
    if reference is not None:
        _test(drafts, reference, columns)
    notes += _notes(drafts, modalities, mean_over)
    disc = next((draft for draft in floors if draft.method == DISC), None)
    rows = tuple(_row(draft, columns, mean_over, disc) for draft in drafts)
    config = members[0].config
    return Comparison(
        condition=condition,
        dataset=config.dataset,
        fingerprint=config.fingerprint,
        mixes_rgb=modalities[0] in MODALITIES and MODALITIES[modalities[0]].mixes_rgb,
        modalities=modalities,
        mean_over=mean_over,
        rows=rows,
        reference=None if reference is None else rows[drafts.index(reference)].label,
        notes=tuple(notes),
    )


def _in_order(modalities: set[str]) -> tuple[str, ...]:
    order = {name: place for place, name in enumerate(MODALITIES)}
    return tuple(sorted(modalities, key=lambda name: (order.get(name, len(order)), name)))


def _drafts(learned: Sequence[Result]) -> list[_Draft]:
    """One row a method, tuning and setting."""
    rows: dict[tuple[Any, ...], _Draft] = {}
    for item in learned:
        config = item.config
        setting = (config.method, config.tuning, *config.telling)
        rows.setdefault(setting, _Draft(results={})).results[config.modality] = item
    return list(rows.values())


def _mean_over(modalities: Sequence[str], learned: Sequence[_Draft]) -> tuple[str, ...]:
    """The modalities that more than half of the rows have; a mean of fewer than two says nothing new."""
    common = tuple(
        name for name in modalities if 2 * sum(name in row.results for row in learned) > len(learned)
    )
    return common if len(common) > 1 else ()


def _floors(everything: Iterable[Result]) -> list[str]:
    """The floors among the results, those of Table 1 first."""
    found = {item.config.method for item in everything if item.is_floor}
    return sorted(found, key=lambda name: (FLOORS.index(name) if name in FLOORS else len(FLOORS), name))


def _floor(
    method: str, members: Sequence[Result], modalities: Sequence[str], everything: Sequence[Result]
) -> dict[str, Result]:
    """A floor's result on each modality's test instances, whatever modality it was asked for."""
    candidates = [item for item in everything if item.config.method == method]
    found = {}
    for name in modalities:
        keys = {item.test_key for item in members if item.config.modality == name}
        there = [item for item in candidates if item.test_key in keys]
        if there:
            # Its seeds choose other radii: the highest, as everywhere.
            found[name] = max(there, key=lambda item: (item.miou, item.config.modality == name))
    return found


def _standing(draft: _Draft, mean_over: Sequence[str]) -> tuple[Any, ...]:
    """The best first; rows without a mean after those that have one."""
    scores = [item.miou for item in draft.results.values()]
    if mean_over:
        return MEAN not in draft.means, -draft.means.get(MEAN, float(np.mean(scores)))
    return -len(scores), -float(np.mean(scores))


def _describe(learned: Sequence[_Draft]) -> None:
    """Puts the tuning into words, and what tells rows of one method and tuning apart."""
    of_a_kind: dict[tuple[str, str], list[RunConfig]] = {}
    for draft in learned:
        of_a_kind.setdefault((draft.method, draft.tuning), []).append(draft.first.config)
    told_apart = {
        kind: {
            item.name
            for item in TELLING_SETTINGS
            if len({getattr(config, item.name) for config in alike}) > 1
        }
        for kind, alike in of_a_kind.items()
    }
    for draft in learned:
        config, telling = draft.first.config, told_apart[draft.method, draft.tuning]
        parts = [] if config.tuning == NO_TUNING else [config.tuning]
        parts += [config.options_text] if config.options_text else []
        for item in TELLING_SETTINGS:
            value = getattr(config, item.name)
            # A setting that most runs do without is named wherever there is one.
            if value is not None and (item.name in telling or item.optional):
                parts.append(item.label.format(value))
        draft.detail = ", ".join(parts)


def _sample(drafts: Sequence[_Draft], mean_over: Sequence[str]) -> None:
    places = [(draft, name) for draft in drafts for name in draft.results]
    samples = sample_scores([draft.results[name].sample for draft, name in places])
    for (draft, name), sample in zip(places, samples, strict=True):
        draft.samples[name] = sample
    for draft in drafts:
        if MEAN in draft.means:
            mean = mean_of_samples([draft.samples[name] for name in mean_over])
            if mean is not None:
                draft.samples[MEAN] = mean


def _rank(learned: Sequence[_Draft], columns: Sequence[str]) -> None:
    """Marks the best and the second of every column, and tests the others against the best."""
    pairs: list[tuple[_Draft, _Draft, str]] = []
    for column in columns:
        valued = [(value, draft) for draft in learned if (value := draft.value(column)) is not None]
        valued.sort(key=lambda pair: -pair[0])
        for (_, draft), rank in zip(valued, ("best", "second"), strict=False):
            draft.ranks[column] = rank
        pairs += [(draft, valued[0][1], column) for _, draft in valued[1:]]
    for (draft, _, column), test in zip(pairs, _tested(pairs), strict=True):
        draft.from_best[column] = test


def _test(drafts: Sequence[_Draft], reference: _Draft, columns: Sequence[str]) -> None:
    pairs = [
        (draft, reference, column)
        for draft in drafts
        for column in columns
        if draft is not reference and draft.value(column) is not None and reference.value(column) is not None
    ]
    for (draft, _, column), test in zip(pairs, with_holm(_tested(pairs)), strict=True):
        if test is not None:
            draft.differences[column] = test


def _tested(pairs: Sequence[tuple[_Draft, _Draft, str]]) -> list[Difference | None]:
    """Tests first against second; a mean over other images cannot be tested."""
    known = [k for k, (a, b, column) in enumerate(pairs) if column in a.samples and column in b.samples]
    tests: list[Difference | None] = [None] * len(pairs)
    found = compare([(pairs[k][0].samples[pairs[k][2]], pairs[k][1].samples[pairs[k][2]]) for k in known])
    for k, tested in zip(known, found, strict=True):
        tests[k] = tested
    return tests


def _reference(learned: Sequence[_Draft], condition: Condition, against: str | None) -> _Draft | None:
    """The row that others are tested against: of several the plainest and the fullest."""
    method, _, tuning = (against or REFERENCE).partition(":")
    rows = [row for row in learned if row.method == method and tuning in ("", row.tuning)]
    if not rows:
        return None if against else next(iter(learned), None)
    default = "full" if condition.weights == RANDOM_WEIGHTS else "lora"

    def preference(row: _Draft) -> tuple[Any, ...]:
        val = [item.val_miou for item in row.results.values() if item.val_miou is not None]
        validated = float(np.mean(val)) if len(val) == len(row.results) else -1.0
        return row.tuning == default, not row.first.config.options, len(row.results), validated

    return max(rows, key=preference)


def _notes(drafts: Sequence[_Draft], modalities: Sequence[str], mean_over: Sequence[str]) -> list[str]:
    notes = []
    for name in modalities:
        digests = Counter(row.samples[name].instances for row in drafts if name in row.samples)
        if len(digests) > 1:
            notes.append(f"{name}: not all rows scored the same test instances; such rows are not compared.")
    if any(MEAN in row.means and MEAN not in row.samples for row in drafts):
        notes.append(
            "The modalities are not of the same test images: their mean has no interval and no test."
        )
    return notes


def _row(
    draft: _Draft, columns: Sequence[str], mean_over: Sequence[str], disc: _Draft | None
) -> ComparisonRow:
    cells = {}
    for column in columns:
        value = draft.value(column)
        if value is None:
            continue
        result = draft.results.get(column)
        sample = draft.samples.get(column)
        floor = result.disc if result else disc.means.get(MEAN) if disc else None
        cells[column] = ComparisonCell(
            miou=value,
            interval=result.interval if result else sample.interval if sample else None,
            result=result,
            disc=None if draft.first.is_floor else floor,
            seed_sd=result.seed_sd if result else _seed_sd([draft.results[name] for name in mean_over]),
            rank=draft.ranks.get(column, ""),
            test=draft.from_best.get(column),
            verdict=_verdict(draft, column),
        )
    return ComparisonRow(method=draft.method, detail=draft.detail, cells=cells, differences=draft.differences)


def _verdict(draft: _Draft, column: str) -> Verdict | None:
    """What is said of a score beside the best; None of the best itself and of floors."""
    if column not in draft.from_best:
        return None
    test = draft.from_best[column]
    return Verdict.NOT_TESTED if test is None else test.verdict


def _seed_sd(results: Sequence[Result]) -> float | None:
    """Standard deviation over seeds of the mean over modalities, where all have the same seeds."""
    if len({item.seeds for item in results}) > 1 or len(results[0].seeds) < 2:
        return None
    means = np.mean([[run.miou for run in item.runs] for item in results], axis=0)
    return float(np.std(means, ddof=1))
