"""Draws the pictures of made-up scenes: `python docs/figures/scenes.py` writes them into docs/images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from aims.core.schema import StreamSpec
from aims.data.pictures import draw
from aims.sensors.polarization import aolp, dolp, stokes
from aims.synth.recordings import Recording, record

OUT = Path(__file__).parents[1] / "images"
Picture = NDArray[np.uint8]


def views(scene: Recording) -> dict[str, Picture]:
    """Returns what every sensor sees of a scene, by name, each (height, width, 3)."""
    s0, s1, s2 = stokes(*scene.polarizers)
    degree = dolp(s0, s1, s2).mean(axis=2)
    angle = np.angle(np.exp(2j * aolp(s1, s2)).mean(axis=2)) / 2
    top = max(0.05, float(np.percentile(degree, 99)))
    # Hue is the angle, and grey means that the light is hardly polarized.
    angle_picture = mpl.colors.hsv_to_rgb(
        np.stack([angle / np.pi % 1, np.minimum(degree / top, 1), np.full_like(angle, 0.85)], axis=-1)
    )
    return {
        "colour": scene.rgb,
        "near infrared": np.repeat(scene.nir[..., None], 3, axis=2),
        "thermal": _stream(scene.thermal_c, "thermal", unit="degree Celsius"),
        "depth": _stream(scene.depth_m, "depth", unit="m", valid_range=(0.0, 10.0), missing=0.0),
        "HHA of depth": scene.hha,
        "polarization: intensity": draw(
            np.minimum(s0, 1), "intensity", StreamSpec(channels=3, unit="fraction", valid_range=(0.0, 1.0))
        ).pixels,
        "degree of polarization": _bytes(mpl.colormaps["magma"](np.clip(degree / top, 0, 1))),
        "angle of polarization": _bytes(angle_picture),
    }


def _stream(values: NDArray[Any], name: str, **spec: Any) -> Picture:
    return draw(values[..., None], name, StreamSpec(channels=1, **{"valid_range": None, **spec})).pixels


def _bytes(colours: NDArray[np.floating[Any]]) -> Picture:
    return np.rint(255 * colours[..., :3]).astype(np.uint8)


def one_scene(family: str, number: int, out: Path) -> None:
    """Draws one scene under all sensors, in two rows."""
    (scene,) = record(family, 0, [number], (240, 320))
    figure, axes = plt.subplots(2, 4, figsize=(13.2, 5.35), layout="constrained")
    for axis, (name, picture) in zip(axes.flat, views(scene).items(), strict=True):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title(name, fontsize=16)
        axis.axis("off")
    _save(figure, out)


def gallery(family: str, numbers: list[int], out: Path) -> None:
    """Draws several scenes, one a column, under all sensors."""
    columns = [views(scene) for scene in record(family, 0, numbers, (120, 160))]
    names = list(columns[0])
    figure, axes = plt.subplots(len(names), len(columns), figsize=(8, 10.8), layout="constrained")
    for row, name in zip(axes, names, strict=True):
        for axis, pictures in zip(row, columns, strict=True):
            axis.imshow(pictures[name], interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        row[0].set_ylabel(name.replace(" ", "\n").replace("\nof", " of"), fontsize=12)
    _save(figure, out)


def _save(figure: mpl.figure.Figure, out: Path) -> None:
    figure.savefig(out, dpi=100, pil_kwargs={"quality": 88, "optimize": True})
    plt.close(figure)
    print(out, out.stat().st_size)


if __name__ == "__main__":
    mpl.use("agg")
    OUT.mkdir(exist_ok=True)
    one_scene("rooms", 1, OUT / "sensors.jpg")
    gallery("rooms", [0, 2, 3, 4], OUT / "rooms.jpg")
    gallery("wilds", [0, 1, 2, 3], OUT / "wilds.jpg")
