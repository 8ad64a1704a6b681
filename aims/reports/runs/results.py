"""Results: runs of one configuration, pooled over seeds."""

from __future__ import annotations

import dataclasses
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from aims.core.checks import Check, lowest
from aims.core.config import RANDOM_WEIGHTS, RunConfig
from aims.core.evaluations import EVERYTHING_SCORES
from aims.core.sizes import LARGE_CLASSES
from aims.reports.runs.costs import Costs
from aims.reports.runs.floors import DISC, TestKey
from aims.reports.runs.load import LeftOut, Run
from aims.reports.statistics.intervals import FloatArray
from aims.reports.statistics.paired import Sample, sample_scores


@dataclass(frozen=True, kw_only=True)
class Result:
    """One configuration over its seeds.

    Attributes:
        config: the configuration of the lowest seed.
        seeds: in ascending order.
        miou: mean IoU over seeds and instances, 0..1.
        val_miou: mean validation IoU over seeds, 0..1; None unless every seed has one.
        instances: number of test instances.
        images: number of test images that hold them.
        disc: `miou` of the floor `disc` on the same test instances, or None where there is no such run.
        learning_rates: number of learning rates tried with an otherwise equal configuration, as separate runs
            or in a sweep that stopped them early; 0 where nothing is trained.
        weights_name: name and edition of the initial weights if they come with AIMS, e.g. "sam-tiny@1".
        runs: the pooled runs, in the order of `seeds`.
        sample: what intervals and paired tests of `miou` need.
    """

    config: RunConfig
    seeds: tuple[int, ...]
    miou: float
    val_miou: float | None
    instances: int
    images: int
    disc: float | None = None
    learning_rates: int = 0
    weights_name: str | None = None
    runs: tuple[Run, ...] = field(default=(), repr=False, compare=False)
    sample: Sample = field(repr=False, compare=False)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """95 % bootstrap interval of `miou`, resampling test images, or groups of them where the dataset has
        groups; None if there is only one."""
        return self.sample.interval

    @property
    def counts(self) -> FloatArray:
        """(groups,) number of instances of each group."""
        return self.runs[0].counts

    @cached_property
    def train_images(self) -> float | None:
        """Mean number of training images over seeds, which differs where seeds draw images without instances;
        None unless known of every run."""
        numbers = [run.train_images or run.config.train_images for run in self.runs]
        known = [number for number in numbers if number]
        return float(np.mean(known)) if len(known) == len(numbers) else None

    @cached_property
    def by_size(self) -> tuple[tuple[int, float | None], ...]:
        """Number and mIoU over seeds of the instances of each class of `aims.core.sizes.SIZES`.

        Empty if a run lacks the sizes.
        """
        sums = [run.size_sums for run in self.runs if run.size_sums is not None]
        counts = self.runs[0].size_counts
        if counts is None or len(sums) < len(self.runs):
            return ()
        means = np.mean(sums, axis=0) / np.maximum(counts, 1)
        return tuple(
            (int(number), float(mean) if number else None) for number, mean in zip(counts, means, strict=True)
        )

    @cached_property
    def large(self) -> tuple[int, float | None] | None:
        """Number of large instances (`aims.core.sizes.LARGE`) and their mIoU over seeds; None if unknown."""
        counts = [run.size_counts for run in self.runs if run.size_counts is not None]
        if len(counts) < len(self.runs):
            return None
        scores = [run.miou_large for run in self.runs if run.miou_large is not None]
        return int(counts[0][LARGE_CLASSES].sum()), float(np.mean(scores)) if scores else None

    @cached_property
    def everything(self) -> dict[str, float]:
        """Scores over seeds of all objects that are found without a prompt, by name in `EVERYTHING_SCORES`.

        Empty unless every seed has them, found with the same grid and thresholds.
        """
        found = [run.everything for run in self.runs]
        known = [each for each in found if each is not None]
        if len(known) < len(found) or any(options != known[0][1] for _, options in known):
            return {}
        return {
            name: float(np.mean([getattr(scores, name) for scores, _ in known])) for name in EVERYTHING_SCORES
        }

    @cached_property
    def seed_sd(self) -> float | None:
        """Sample standard deviation (n - 1) of the mIoU over seeds, or None for a single seed."""
        return float(np.std([run.miou for run in self.runs], ddof=1)) if len(self.runs) > 1 else None

    @cached_property
    def check(self) -> Check:
        """The check that all its runs have passed."""
        return lowest([run.check for run in self.runs])

    @cached_property
    def costs(self) -> Costs:
        """Costs of its runs."""
        return Costs.of(self.runs, [self.learning_rates])

    @property
    def is_floor(self) -> bool:
        """Whether it is the result of a floor, which has no model."""
        return self.config.is_floor

    @property
    def below_disc(self) -> bool:
        """Whether a method scores below the floor `disc`; False for floors and where no such run exists."""
        return self.disc is not None and not self.is_floor and self.miou < self.disc

    @property
    def test_key(self) -> TestKey:
        """Identifies the test instances. The modality is no part of it: a floor's score holds for all."""
        config = self.config
        return config.protocol, config.limit, config.dataset, config.fingerprint, self.instances, self.images

    @property
    def setting(self) -> tuple[Any, ...]:
        """Sort key of everything that distinguishes results; random weights sort after pretrained ones.

        Weights are in the order of their names: sam-tiny before sam-tiny-any.
        """
        config = self.config
        # `or 0`: None cannot be ordered among numbers.
        return (
            *(config.protocol, config.backbone, config.limit or 0, config.weights == RANDOM_WEIGHTS),
            *((self.weights_name or "").partition("@"), config.weights),
            *(config.dataset, config.modality, config.fingerprint, config.method),
            *(config.tuning, *config.telling),
        )

    def as_json(self) -> dict[str, Any]:
        """All fields as plain types, ready for `json.dumps`; scores lie in 0..1."""
        config = dataclasses.asdict(self.config)
        del config["seed"]
        return {
            **config,
            "weights_name": self.weights_name,
            "seeds": list(self.seeds),
            "miou": self.miou,
            "interval": list(self.interval) if self.interval else None,
            "val_miou": self.val_miou,
            "miou_large": self.large[1] if self.large else None,
            "instances_large": self.large[0] if self.large else None,
            "instances": self.instances,
            "images": self.images,
            "groups": len(self.counts),
            "seed_sd": self.seed_sd,
            "check": self.check.level,
            **self.costs.most,
            "disc": self.disc,
            "below_disc": self.below_disc,
            # Few runs have them.
            **({"everything": self.everything} if self.everything else {}),
        }


def pool_seeds(runs: list[Run]) -> tuple[list[Result], list[LeftOut]]:
    """Pools runs that differ in the seed alone; a group whose seeds scored different instances is left out.

    Returns:
        The results, sorted by `Result.setting`, and the run folders of the groups that were left out.
    """
    groups: dict[Hashable, list[Run]] = {}
    for run in runs:
        groups.setdefault(run.config.apart_from("seed"), []).append(run)
    pooled: list[tuple[Run, ...]] = []
    left_out: list[LeftOut] = []
    for group in groups.values():
        if len({run.instances_digest for run in group}) > 1:
            others = ", ".join(sorted(run.folder for run in group))
            reason = f"the seeds of one configuration scored different test instances: {others}"
            left_out += [LeftOut(folder=run.folder, reason=reason) for run in group]
        else:
            pooled.append(tuple(sorted(group, key=lambda run: run.config.seed)))
    sums = [np.mean([run.sums for run in group], axis=0) for group in pooled]
    samples = sample_scores(
        [
            (group[0].instances_digest, group[0].groups, mean, group[0].counts)
            for group, mean in zip(pooled, sums, strict=True)
        ]
    )
    # Records of earlier versions lack the name.
    names = {run.config.weights: run.content.weights_name for run in runs if run.content.weights_name}
    results = [_pool(group, sample, names) for group, sample in zip(pooled, samples, strict=True)]
    return _with_disc(_with_rates(sorted(results, key=lambda result: result.setting))), left_out


def _with_rates(results: list[Result]) -> list[Result]:
    """Counts the learning rates tried: choosing among several is part of what a result costs."""
    rates: dict[Hashable, set[float]] = {}
    keys = [item.config.apart_from("seed", "lr") for item in results]
    for key, item in zip(keys, results, strict=True):
        rates.setdefault(key, set()).update(*(run.rates for run in item.runs))
    return [
        dataclasses.replace(item, learning_rates=len(rates[key]))
        for key, item in zip(keys, results, strict=True)
    ]


def _with_disc(results: list[Result]) -> list[Result]:
    """Sets `disc` of every result; where several disc results exist, which chose other radii, the highest."""
    discs: dict[TestKey, float] = {}
    for result in results:
        if result.config.method == DISC:
            discs[result.test_key] = max(result.miou, discs.get(result.test_key, 0))
    return [dataclasses.replace(result, disc=discs.get(result.test_key)) for result in results]


def _pool(group: tuple[Run, ...], sample: Sample, names: Mapping[str, str]) -> Result:
    first = group[0]
    val = [run.val_miou for run in group if run.val_miou is not None]
    return Result(
        config=first.config,
        seeds=tuple(run.config.seed for run in group),
        miou=float(sample.shares.sum()),
        val_miou=sum(val) / len(val) if len(val) == len(group) else None,
        instances=int(first.counts.sum()),
        images=first.images,
        weights_name=names.get(first.config.weights),
        runs=group,
        sample=sample,
    )
