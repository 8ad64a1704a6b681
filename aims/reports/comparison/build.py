"""Builds the comparison tables: groups results into tables, orders rows and columns, tests differences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aims.core.config import RANDOM_WEIGHTS, RunConfig
from aims.core.errors import InputError
from aims.core.vocabulary import DEFAULT_PROMPTS, MODALITIES
from aims.reports.comparison.table import MEAN, Comparison, ComparisonRow
from aims.reports.runs.conditions import Condition, by_start
from aims.reports.runs.floors import DISC, FLOORS
from aims.reports.runs.results import Result
from aims.reports.statistics.paired import Difference, mean_of_samples, with_holm
from aims.reports.tables.captions import row_details
from aims.reports.tables.scores import Score, compare_scores, rank_scores

#: Default method of the reference row, which the other rows are tested against.
REFERENCE = "simcmf"
#: The results of a row, by modality.
Found = dict[str, Result]


def build_comparisons(results: Sequence[Result], against: str | None = None) -> list[Comparison]:
    """Builds the tables of `outline_comparisons`, with their ranks and tests."""
    return [*map(with_tests, outline_comparisons(results, against))]


def outline_comparisons(results: Sequence[Result], against: str | None = None) -> list[Comparison]:
    """Builds one table per dataset, content, protocol, backbone, weights and limit, without ranks and tests.

    Modalities that stack RGB with a sensor have separate tables. Scratch starts from random weights by
    definition and is a row of the tables of all initial weights. Floors have neither backbone nor weights:
    they are the first rows of every table with their test instances.

    Args:
        results: every finished run, pooled over seeds.
        against: the reference row, METHOD or METHOD:TUNING; None selects simcmf with its default tuning, or
            the best row where there is no simcmf.

    Raises:
        InputError: no table has a row of that name.
    """
    learned = [item.config for item in results if not item.is_floor]
    if against is not None and not any(_is_called(config, against) for config in learned):
        rows = {f"{config.method}:{config.tuning}" for config in learned}
        raise InputError(
            f"--against {against}: no run of this; there are: {', '.join(sorted(rows)) or 'none'}"
        )
    return [_table(condition, members, results, against) for condition, members in _shares(results)]


def with_tests(table: Comparison) -> Comparison:
    """Ranks the scores of each column, and tests them against the best and against the reference row."""
    scores = [row.cells for row in table.rows]
    # Floors are not ranked: they are marks to read the methods against.
    places = [place for place, row in enumerate(table.rows) if not row.is_floor]
    ranked = rank_scores(
        [((place, column), scores[place][column]) for place in places if column in scores[place]]
        for column in table.columns
    )
    reference = next((place for place, row in enumerate(table.rows) if row.label == table.reference), None)
    differences = _differences(scores, reference)
    rows = (
        dataclasses.replace(
            row,
            cells={column: ranked.get((place, column), score) for column, score in row.cells.items()},
            differences=differences[place],
        )
        for place, row in enumerate(table.rows)
    )
    return dataclasses.replace(table, rows=tuple(rows))


def _shares(results: Sequence[Result]) -> Iterator[tuple[Condition, list[Result]]]:
    """Yields the results that share a table; floors are among them only where nothing else was run."""
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


def _table(
    condition: Condition, members: Sequence[Result], everything: Sequence[Result], against: str | None
) -> Comparison:
    modalities = _in_order({item.config.modality for item in members})
    learned = _rows([item for item in members if not item.is_floor])
    mean_over = _mean_over(modalities, learned)
    learned.sort(key=lambda found: _standing(found, mean_over))
    floors = [
        found for method in _floors(everything) if (found := _floor(method, members, modalities, everything))
    ]
    rows, details = [*floors, *learned], [*[""] * len(floors), *_details(learned)]
    columns = (*modalities, MEAN) if mean_over else modalities
    scores = _scores(rows, columns, mean_over)
    chosen = _reference(learned, condition, against)
    reference = next((place for place, found in enumerate(rows) if found is chosen), None)
    drawn = [
        ComparisonRow(
            method=_first(found).config.method,
            tuning=_first(found).config.tuning,
            detail=detail,
            cells=scores[place],
        )
        for place, (found, detail) in enumerate(zip(rows, details, strict=True))
    ]
    config = members[0].config
    return Comparison(
        condition=condition,
        dataset=config.dataset,
        fingerprint=config.fingerprint,
        mixes_rgb=modalities[0] in MODALITIES and MODALITIES[modalities[0]].mixes_rgb,
        modalities=modalities,
        mean_over=mean_over,
        rows=tuple(drawn),
        reference=None if reference is None else drawn[reference].label,
        notes=tuple(_notes(drawn, modalities)),
    )


def _is_called(config: RunConfig, name: str) -> bool:
    """Returns whether a row is called METHOD or METHOD:TUNING."""
    method, _, tuning = name.partition(":")
    return config.method == method and tuning in ("", config.tuning)


def _first(found: Found) -> Result:
    return next(iter(found.values()))


def _in_order(modalities: set[str]) -> tuple[str, ...]:
    order = {name: place for place, name in enumerate(MODALITIES)}
    return tuple(sorted(modalities, key=lambda name: (order.get(name, len(order)), name)))


def _rows(learned: Sequence[Result]) -> list[Found]:
    """Groups results into rows, one per method, tuning and setting."""
    rows: dict[tuple[Any, ...], Found] = {}
    for item in learned:
        config = item.config
        rows.setdefault((config.method, config.tuning, *config.telling), {})[config.modality] = item
    return list(rows.values())


def _mean_over(modalities: Sequence[str], learned: Sequence[Found]) -> tuple[str, ...]:
    """The modalities that more than half of the rows have; empty if fewer than two, which need no mean."""
    common = tuple(name for name in modalities if 2 * sum(name in found for found in learned) > len(learned))
    return common if len(common) > 1 else ()


def _floors(everything: Iterable[Result]) -> list[str]:
    """The names of the floors among the results, those of Table 1 first."""
    found = {item.config.method for item in everything if item.is_floor}
    return sorted(found, key=lambda name: (FLOORS.index(name) if name in FLOORS else len(FLOORS), name))


def _floor(
    method: str, members: Sequence[Result], modalities: Sequence[str], everything: Sequence[Result]
) -> Found:
    """A floor's result on each modality's test instances, from a run with any modality: it sees no sensor."""
    candidates = [item for item in everything if item.config.method == method]
    found = {}
    for name in modalities:
        keys = {item.test_key for item in members if item.config.modality == name}
        there = [item for item in candidates if item.test_key in keys]
        if there:
            # Runs with different seeds choose different radii: take the highest, as in `Result.disc`.
            found[name] = max(there, key=lambda item: (item.miou, item.config.modality == name))
    return found


def _has_mean(found: Found, mean_over: Sequence[str]) -> bool:
    return bool(mean_over) and all(name in found for name in mean_over)


def _standing(found: Found, mean_over: Sequence[str]) -> tuple[Any, ...]:
    """Sort key of a row: rows with a mean first, then by descending score."""
    if not mean_over:
        return -len(found), -float(np.mean([item.miou for item in found.values()]))
    complete = _has_mean(found, mean_over)
    names = mean_over if complete else found
    return not complete, -float(np.mean([found[name].miou for name in names]))


def _details(learned: Sequence[Found]) -> list[str]:
    """The tuning of each row, with the settings that distinguish rows of one method and tuning."""
    configs = [_first(found).config for found in learned]
    return row_details(configs, lambda config: (config.method, config.tuning))


def _scores(
    rows: Sequence[Found], columns: Sequence[str], mean_over: Sequence[str]
) -> list[dict[str, Score]]:
    """The scores of each row by column."""
    scores = [{name: Score.of(found[name]) for name in columns if name in found} for found in rows]
    complete = [place for place, found in enumerate(rows) if _has_mean(found, mean_over)]
    for place in complete:
        scores[place][MEAN] = _mean([scores[place][name] for name in mean_over])
    # A mean is compared with the disc's mean over the same modalities.
    discs = [scores[place][MEAN].value for place in complete if _first(rows[place]).config.method == DISC]
    for place in complete:
        if discs and not _first(rows[place]).is_floor:
            scores[place][MEAN] = dataclasses.replace(scores[place][MEAN], disc=discs[0])
    return scores


def _mean(scores: Sequence[Score]) -> Score:
    """The mean of scores over modalities; without a sample to test if the modalities' images differ."""
    sample = mean_of_samples([score.sample for score in scores if score.sample])
    return Score(
        value=float(np.mean([score.value for score in scores])),
        interval=sample.interval if sample else None,
        sample=sample,
        seed_sd=_seed_sd([score.result for score in scores if score.result]),
    )


def _differences(scores: Sequence[Mapping[str, Score]], reference: int | None) -> list[dict[str, Difference]]:
    """The difference of each row from the reference row, by column."""
    differences: list[dict[str, Difference]] = [{} for _ in scores]
    if reference is None:
        return differences
    beside = scores[reference]
    places = [
        (place, column)
        for place, row in enumerate(scores)
        for column in row
        if place != reference and column in beside
    ]
    tests = compare_scores([(scores[place][column], beside[column]) for place, column in places])
    for (place, column), test in zip(places, with_holm(tests), strict=True):
        if test is not None:
            differences[place][column] = test
    return differences


def _reference(learned: Sequence[Found], condition: Condition, against: str | None) -> Found | None:
    """The reference row.

    Among several: default tuning, no options, trained on single clicks, most modalities, best validation.
    """
    rows = [found for found in learned if _is_called(_first(found).config, against or REFERENCE)]
    if not rows:
        return None if against else next(iter(learned), None)
    # As `aims.methods.default_tuning`: with random weights, layers that LoRA freezes would stay random.
    default = "full" if condition.weights == RANDOM_WEIGHTS else "lora"

    def preference(found: Found) -> tuple[Any, ...]:
        val = [item.val_miou for item in found.values() if item.val_miou is not None]
        validated = float(np.mean(val)) if len(val) == len(found) else -1.0
        config = _first(found).config
        # Validation of runs on boxes alone is by boxes.
        usual = config.prompts == DEFAULT_PROMPTS
        return config.tuning == default, not config.options, usual, len(found), validated

    return max(rows, key=preference)


def _notes(rows: Sequence[ComparisonRow], modalities: Sequence[str]) -> list[str]:
    notes = []
    for name in modalities:
        samples = [row.cells[name].sample for row in rows if name in row.cells]
        if len({sample.instances for sample in samples if sample}) > 1:
            notes.append(f"{name}: not all rows scored the same test instances; such rows are not compared.")
    if any(MEAN in row.cells and row.cells[MEAN].sample is None for row in rows):
        notes.append(
            "The modalities are not of the same test images: their mean has no interval and no test."
        )
    return notes


def _seed_sd(results: Sequence[Result]) -> float | None:
    """Standard deviation over seeds of the mean over modalities; None unless all have the same seeds."""
    if len({item.seeds for item in results}) > 1 or len(results[0].seeds) < 2:
        return None
    means = np.mean([[run.miou for run in item.runs] for item in results], axis=0)
    return float(np.std(means, ddof=1))
