"""Computes the floors `disc` and `oracle-disc` from label maps alone, under every protocol.

    python -m aims.benchmarks.floors LABELS... [--variable NAME] [--void 0] [--connectivity 8]

LABELS are semantic maps (PNG, TIFF, npy; npz and .mat with --variable), which are split into instances as in
a conversion. The radius of `disc` is cross-validated: the maps, sorted by name, alternate between two halves,
and each half is scored with the radius that is best on the other. Prints TOML in the form of
`leaderboards/floors.toml`: mIoU in percent with its 95 % interval (bootstrap over maps), radii as in
`aims.methods.disc`. The minimum area of an instance is the protocol's default for datasets that it does not
list, such as NYUv2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aims.converters.reading.label_maps import numbers
from aims.core.errors import AimsError, InputError
from aims.core.vocabulary import PROTOCOLS
from aims.data.instances import MAX_INSTANCES, IntArray, describe_objects, split_instances
from aims.data.refs import ImageRef
from aims.engine.floors import clicked_map
from aims.engine.samples import find_targets
from aims.methods.disc import RADII, radius_scores
from aims.reading.pictures import load_picture
from aims.reports.statistics.intervals import clustered_interval


@dataclass(frozen=True, kw_only=True, eq=False)
class Sums:
    """IoU summed over the instances of each map; all reported values derive from these sums.

    Attributes:
        counts: (maps,) number of instances.
        by_radius: (maps, radii) sum of IoU by radius.
        best: (maps,) sum of the IoU at the best radius of every instance.
        vanished: number of instances without a pixel on the grid on which the protocol computes IoU.
    """

    counts: NDArray[np.float64]
    by_radius: NDArray[np.float64]
    best: NDArray[np.float64]
    vanished: int


def sum_scores(maps: Iterable[IntArray]) -> dict[str, Sums]:
    """Scores discs of all radii on instance maps with dense ids, under every protocol.

    Args:
        maps: (height, width) instance ids, 0 = background, 1..n.

    Returns:
        The sums by name of the protocol.

    Raises:
        InputError: a map has more instances than the format can hold.
    """
    found: dict[str, list[tuple[int, NDArray[np.float64], float, int]]] = {name: [] for name in PROTOCOLS}
    for instances in maps:
        count = int(instances.max(initial=0))
        if count > MAX_INSTANCES:
            raise InputError(f"a map has {count} instances; at most {MAX_INSTANCES} are possible")
        objects = describe_objects(instances, dict.fromkeys(range(1, count + 1), 0))
        ref = ImageRef(image_id="", group="", split="", instances=count, file="", row_group=0, row=0)
        for name, protocol in PROTOCOLS.items():
            targets = find_targets(ref, instances.astype(np.uint16), objects, "", protocol)
            scores = radius_scores(clicked_map(targets, protocol))
            # The largest disc covers the whole grid: an instance without a score there is not on it.
            vanished = int((scores[:, -1] == 0).sum())
            found[name].append((len(scores), scores.sum(0), float(scores.max(1).sum()), vanished))
    return {name: _joined(rows) for name, rows in found.items()}


def _joined(rows: Sequence[tuple[int, NDArray[np.float64], float, int]]) -> Sums:
    counts, by_radius, best, vanished = zip(*rows, strict=True)
    return Sums(
        counts=np.array(counts, np.float64),
        by_radius=np.array(by_radius),
        best=np.array(best),
        vanished=sum(vanished),
    )


def figures(sums: Sums) -> Iterator[tuple[str, object]]:
    """Yields names and values of the results, in the order in which they are printed.

    Raises:
        InputError: one half of the maps has no instance that counts.
    """
    halves = np.arange(len(sums.counts)) % 2
    if not all(sums.counts[halves == half].sum() for half in (0, 1)):
        raise InputError("one half of the maps has no instance: give more maps")
    peaks = [int(sums.by_radius[halves == half].sum(0).argmax()) for half in (0, 1)]
    radius = np.array(peaks)[1 - halves]
    disc = sums.by_radius[np.arange(len(radius)), radius]
    yield "maps", len(sums.counts)
    yield "instances", int(sums.counts.sum())
    yield "vanished", sums.vanished
    for name, found in (("disc", disc), ("oracle_disc", sums.best)):
        yield name, _percent(found.sum() / sums.counts.sum())
        interval = clustered_interval(found, sums.counts)
        yield f"{name}_interval", [] if interval is None else [_percent(end) for end in interval]
    # Reversed, as each half is scored with the radius that is best on the other.
    yield "radius_by_half", [float(RADII[peak]) for peak in peaks[::-1]]
    for name, found in (("disc_by_half", disc), ("oracle_disc_by_half", sums.best)):
        shares = [found[halves == half].sum() / sums.counts[halves == half].sum() for half in (0, 1)]
        yield name, [_percent(share) for share in shares]
    everywhere = sums.by_radius.sum(0)
    yield "peak_radius", float(RADII[everywhere.argmax()])
    yield "peak", _percent(everywhere.max() / sums.counts.sum())


def _percent(share: float) -> float:
    return round(100 * float(share), 2)


def read_maps(
    paths: Sequence[Path], variable: str | None, void: Sequence[int], connectivity: int
) -> Iterator[IntArray]:
    """Reads semantic maps, sorted by file name, and splits them into instances.

    Args:
        paths: files of the maps.
        variable: name of the array in an npz or .mat file.
        void: class ids that are no object.
        connectivity: 4 or 8.

    Yields:
        (height, width) instance ids, 0 = background.
    """
    for path in sorted(paths, key=lambda path: (path.name, path)):
        labels = numbers(path, load_picture(path, variable=variable))
        yield split_instances(labels, connectivity=connectivity, void=void)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints one TOML table per protocol that has instances in both halves."""
    parser = argparse.ArgumentParser(description="Discs around clicks, on label maps alone.")
    parser.add_argument("labels", nargs="+", type=Path, help="semantic maps")
    parser.add_argument("--variable", help="the array of an npz or .mat file")
    parser.add_argument("--void", type=int, nargs="*", default=[0], help="classes that are no object")
    parser.add_argument("--connectivity", type=int, choices=(4, 8), default=8)
    options = parser.parse_args(arguments)
    try:
        maps = read_maps(options.labels, options.variable, options.void, options.connectivity)
        found = sum_scores(maps)
        lacking: dict[str, str] = {}
        for name, sums in found.items():
            try:
                lines = [f"{key} = {value}" for key, value in figures(sums)]
            except InputError as error:
                lacking[name] = str(error)
                continue
            print(f"[{name}]", *lines, "", sep="\n")
        # Protocols differ in the minimum area, so one may have no instance where another has some.
        for name, reason in lacking.items():
            print(
                f"{'error' if len(lacking) == len(found) else 'left out'}: {name}: {reason}", file=sys.stderr
            )
        if len(lacking) == len(found):
            sys.exit(2)
    except AimsError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
