"""Figure 8 of the paper: a label map and its instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

from aims.core.files import write_text
from aims.core.vocabulary import BROKEN_IMAGES
from aims.data.looks import draw_of
from aims.data.read import Dataset
from aims.reports.figures.image_grid import ImageRow, muted, save_image_grid
from aims.reports.tables.results_table import write_csv

_RULE = (
    "Of the test images in which some class has several instances, in order of their number of instances: "
    "the median."
)
_HOW = "Connected pixels of one class are one instance, and answer the clicks inside them alone."
_FIELDS = ("dataset", "fingerprint", "image_id", "class_id", "class", "instances", "rule")


def write_split_figure(datasets: Sequence[Dataset], base: Path) -> list[Path]:
    """Draws input, classes and instances of one test image per dataset, with a CSV of the shown classes.

    Args:
        datasets: the datasets to show.
        base: path of the files without their suffixes.

    Returns:
        Paths of the PNG and the CSV; empty if no test image has several instances of a class.
    """
    rows, lines = [], []
    for dataset in datasets:
        image_id = _choose(dataset)
        if image_id is None:
            continue
        row, classes = _row(dataset, image_id)
        rows.append(row)
        shared = {"dataset": dataset.name, "fingerprint": dataset.fingerprint, "image_id": image_id}
        lines += [
            {
                **shared,
                "class_id": class_id,
                "class": dataset.spec.classes[class_id - 1],
                "instances": count,
                "rule": _RULE,
            }
            for class_id, count in sorted(classes.items())
        ]
    if not rows:
        return []
    png, table = base.with_name(f"{base.name}.png"), base.with_name(f"{base.name}.csv")
    save_image_grid(png, ("input", "classes", "instances"), rows, f"{_HOW} {_RULE}")
    write_text(table, write_csv(_FIELDS, lines))
    return [png, table]


def _choose(dataset: Dataset) -> str | None:
    broken = BROKEN_IMAGES.get(dataset.name, {})
    found: list[tuple[int, str]] = []
    for file, entry in dataset.manifest.files.items():
        if entry.split != "test":
            continue
        for _, _, value in dataset.rows(file, ["image_id", "objects.list.element.class_id"]):
            classes = [item["class_id"] for item in value["objects"]]
            if len(set(classes)) < len(classes) and value["image_id"] not in broken:
                found.append((len(classes), value["image_id"]))
    return sorted(found)[(len(found) - 1) // 2][1] if found else None


def _row(dataset: Dataset, image_id: str) -> tuple[ImageRow, Counter[int]]:
    ref = next(ref for ref in dataset.index["test"] if ref.image_id == image_id)
    stream = next(iter(dataset.streams))
    image = dataset.read(ref, (stream,))
    base = draw_of(dataset, stream, image.streams[stream]).pixels
    classes = Counter(item["class_id"] for item in image.objects)
    order = sorted(classes)
    by_class, by_instance = np.zeros((2, int(image.instances.max()) + 1), np.intp)
    for place, item in enumerate(image.objects, start=1):
        by_class[item["id"]], by_instance[item["id"]] = 1 + order.index(item["class_id"]), place
    row = ImageRow(
        label=dataset.name,
        pictures=(base, *(_painted(base, number[image.instances]) for number in (by_class, by_instance))),
        notes=(
            f"{stream}, {image_id}",
            f"{len(classes)} class{'es' * (len(classes) > 1)}",
            f"{len(image.objects)} instances",
        ),
    )
    return row, classes


def _painted(base: NDArray[np.uint8], labels: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Paints each region of a map in a flat colour on a darkened image."""
    colours: Any = mpl.colormaps["tab20"].colors  # type: ignore[attr-defined]
    # tab20 alternates strong and pale colours: use all strong ones first.
    flat = np.rint(255 * np.array([*colours[::2], *colours[1::2]])).astype(np.uint8)
    return np.where(labels[..., None] > 0, flat[(labels - 1) % len(flat)], muted(base) // 3)
