"""Results: runs that differ in the seed alone, taken together."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from aims.core.config import RANDOM_WEIGHTS, RunConfig
from aims.report.floors import DISC, FLOORS, TestKey
from aims.report.intervals import clustered_interval
from aims.report.runs import LeftOut, Run


@dataclass(frozen=True, kw_only=True)
class Result:
    """One configuration over its seeds.

    Attributes:
        config: the configuration of the lowest seed.
        seeds: in rising order.
        miou: mean over seeds and instances, 0..1.
        interval: 95 % interval of `miou` over test images, or None for a single image.
        val_miou: mean over seeds, or None unless every seed has one.
        instances: number of test instances.
        images: number of test images that hold them.
        disc: `miou` of the floor `disc` on the same test instances, or None where there is no such run.
    """

    config: RunConfig
    seeds: tuple[int, ...]
    miou: float
    interval: tuple[float, float] | None
    val_miou: float | None
    instances: int
    images: int
    disc: float | None = None

    @property
    def is_floor(self) -> bool:
        """Whether it is a floor's, which has no model."""
        return self.config.method in FLOORS

    @property
    def below_disc(self) -> bool:
        """Whether a method that sees the sensor does worse than a disc that sees nothing."""
        return self.disc is not None and not self.is_floor and self.miou < self.disc

    @property
    def test_key(self) -> TestKey:
        """What results have in common that scored the same test instances; a floor needs no modality."""
        config = self.config
        return config.protocol, config.limit, config.dataset, config.fingerprint, self.instances, self.images

    @property
    def setting(self) -> tuple[Any, ...]:
        """What tells results apart, as a key to sort by: seeds are not in it."""
        config = self.config
        return (
            *(config.protocol, config.backbone, config.limit or 0, config.weights == RANDOM_WEIGHTS),
            *(config.weights, config.dataset, config.modality, config.fingerprint, config.method),
            *(config.tuning, config.options_text, config.lr, config.epochs, config.batch_size),
            *(config.loss, config.precision),
        )

    def as_json(self) -> dict[str, Any]:
        """Everything, ready for JSON; scores from 0 to 1."""
        config = dataclasses.asdict(self.config)
        del config["seed"]
        return {
            **config,
            "seeds": list(self.seeds),
            "miou": self.miou,
            "interval": list(self.interval) if self.interval else None,
            "val_miou": self.val_miou,
            "instances": self.instances,
            "images": self.images,
            "disc": self.disc,
            "below_disc": self.below_disc,
        }


def pool_seeds(runs: list[Run]) -> tuple[list[Result], list[LeftOut]]:
    """Groups runs that differ in the seed alone; a group whose seeds scored other instances is left out."""
    groups: dict[RunConfig, list[Run]] = {}
    for run in runs:
        groups.setdefault(dataclasses.replace(run.config, seed=0), []).append(run)
    results: list[Result] = []
    left_out: list[LeftOut] = []
    for group in groups.values():
        if len({run.instances_digest for run in group}) > 1:
            others = ", ".join(sorted(run.folder for run in group))
            reason = f"the seeds of one configuration scored different test instances: {others}"
            left_out += [LeftOut(folder=run.folder, reason=reason) for run in group]
        else:
            results.append(_pool(sorted(group, key=lambda run: run.config.seed)))
    return _with_disc(sorted(results, key=lambda result: result.setting)), left_out


def _with_disc(results: list[Result]) -> list[Result]:
    """Puts the floor beside every result; of several (its seeds choose other radii) the highest."""
    discs: dict[TestKey, float] = {}
    for result in results:
        if result.config.method == DISC:
            discs[result.test_key] = max(result.miou, discs.get(result.test_key, 0))
    return [dataclasses.replace(result, disc=discs.get(result.test_key)) for result in results]


def _pool(group: list[Run]) -> Result:
    first = group[0]
    sums = np.mean([run.sums for run in group], axis=0)
    val = [run.val_miou for run in group if run.val_miou is not None]
    return Result(
        config=first.config,
        seeds=tuple(run.config.seed for run in group),
        miou=float(sums.sum() / first.counts.sum()),
        interval=clustered_interval(sums, first.counts),
        val_miou=sum(val) / len(val) if len(val) == len(group) else None,
        instances=int(first.counts.sum()),
        images=len(first.counts),
    )
