"""The contact sheet of a run: a few test images with clicks, ground truth and prediction."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from aims.core.files import atomic_write
from aims.core.records import InstanceRow
from aims.core.vocabulary import Modality
from aims.data.overlays import click_in_picture, predicted_mask, tinted
from aims.data.pictures import picture
from aims.data.read import Dataset, ImageRef

PICTURES = 6


def save_contact_sheet(
    path: Path,
    dataset: Dataset,
    modality: Modality,
    refs: Sequence[ImageRef],
    rows: Sequence[InstanceRow],
    pictures: int = PICTURES,
) -> None:
    """Draws test images, evenly spaced through the split: sensor, ground truth with clicks, prediction.

    Args:
        path: PNG file to write.
        dataset: dataset of the images.
        modality: modality of the run; its first stream is shown.
        refs: test images.
        rows: scored instances with masks (`aims.engine.evaluate`).
        pictures: largest number of images.
    """
    # An image that replaces broken ones is scored several times, with equal results: one of them suffices.
    by_image: dict[str, dict[int, InstanceRow]] = {}
    for row in rows:
        by_image.setdefault(row["image_id"], {})[row["instance_id"]] = row
    scored = [ref for ref in refs if ref.image_id in by_image]
    count = min(pictures, len(scored))
    chosen = [scored[round(k)] for k in np.linspace(0, len(scored) - 1, count)]
    images = [dataset.read(ref, modality.streams) for ref in chosen]
    # A panel is 3.2 inches wide; its height follows the pictures.
    ratio = max(image.instances.shape[0] / image.instances.shape[1] for image in images)
    figure = Figure(figsize=(9.6, count * (3.2 * ratio + 0.3)), dpi=110, layout="constrained")
    panels: NDArray[Any] = figure.subplots(count, 3, squeeze=False)
    name = modality.streams[0]
    for axes, image in zip(panels, images, strict=True):
        instances = list(by_image[image.image_id].values())
        size = (image.instances.shape[0], image.instances.shape[1])
        shown = picture(image.streams[name], name, dataset.streams[name]) / 255
        scores = [row["iou"] for row in instances]
        titles = (
            f"{image.image_id}  {modality.name}",
            f"truth, {len(instances)} instance{'s' * (len(instances) > 1)}",
            f"prediction, IoU {np.mean(scores):.2f}",
        )
        layers: tuple[list[NDArray[np.bool_]], ...] = (
            [],
            [image.instances == row["instance_id"] for row in instances],
            [predicted_mask(row, size) for row in instances],
        )
        for k, (panel, title, masks) in enumerate(zip(axes, titles, layers, strict=True)):
            panel.imshow(tinted(shown, masks), interpolation="nearest")
            # An explicit y spares matplotlib the search for ticks above the axes: half of the drawing time.
            panel.set_title(_shortened(title), fontsize=8, loc="left", y=1.0, parse_math=False)
            panel.set_axis_off()
            if k:
                _draw_clicks(panel, instances, size)
    with atomic_write(path) as beside:
        # By default matplotlib writes its own version into the file.
        figure.savefig(beside, format="png", metadata={"Software": None})


def _draw_clicks(panel: Axes, rows: Sequence[InstanceRow], size: tuple[int, int]) -> None:
    for row in rows:
        at = click_in_picture(row, size)
        panel.plot(*at, "o", markersize=4, color="white", markeredgecolor="black", markeredgewidth=0.8)


def _shortened(title: str, limit: int = 44) -> str:
    return title if len(title) <= limit else f"{title[: limit // 2 - 1]}…{title[-limit // 2 :]}"
