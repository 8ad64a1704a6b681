"""Synthetic datasets in raw layouts, for the converters to read.

Five layouts are those of real datasets and hold the sensors of that dataset; the sixth, read by the folder
converter, holds every sensor of every scene. All layouts written with one seed show the same scenes, of which
the first ones are the training split. All visible objects are annotated, in the glass datasets too. Arrays
keep the sensor's values (depth in metres and temperature in degrees Celsius, float32, not scaled to grey
levels); only ZJU's polarizer images are rounded to 8 bits.
"""

from __future__ import annotations

import colorsys
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from aims.core.errors import InputError, unknown_name
from aims.core.files import naming, write_json
from aims.core.schema import MADE_UP
from aims.sensors.polarization import aolp, dolp, stokes
from aims.synth.layouts import folder, ivrg_nir, nyuv2, rgbp_glass, thermal_glass, zju_rgbp
from aims.version import __version__

if TYPE_CHECKING:
    # The renderer imports torch, which takes seconds to load.
    from aims.synth.recordings import Recording, Recordings

#: Subfolder in which `write` works, and without which the dataset is whole. A killed call leaves it behind,
#: and the next one deletes it.
UNFINISHED = ".unfinished"
#: File that records the arguments of `write`, and without which a converter takes the pictures for real ones.
DESCRIPTION = MADE_UP

#: The layout that holds all sensors.
FOLDER = "folder"

_LABELS_OF_NYUV2 = 894

_Picture = TypeVar("_Picture")
_Make = Callable[["Recording"], _Picture]
_Progress = Callable[[int], None]
#: Writes a dataset: (folder, scenes, number of training scenes, progress callback).
_Write = Callable[[Path, "Recordings", int, _Progress], None]


def write(
    layout: str,
    out: Path,
    *,
    scenes: int,
    size: tuple[int, int],
    seed: int,
    family: str = "rooms",
    test: int | None = None,
    device: str = "cpu",
    on_progress: _Progress = lambda scenes: None,
) -> Path:
    """Writes the scenes 0, 1, ... of a seed in a raw layout; the same arguments give the same bytes.

    Args:
        layout: a name in `LAYOUTS`.
        out: folder to write to; made if it is absent. The files of the layout appear in it at the end,
            all at once, with `synth.json` beside them.
        scenes: number of scenes, at least 2.
        size: (height, width) in pixels.
        seed: at least 0.
        family: "rooms" or "wilds".
        test: number of test scenes, which are the last ones; None for a third.
        device: torch device that renders.
        on_progress: called with the number of scenes written since the last call.

    Returns:
        The folder; `convert_arguments` gives the arguments of `aims convert` that read it.

    Raises:
        InputError: the layout or family is unknown, there are too few scenes for both splits, the size is out
            of range, or the folder is not empty.
    """
    if layout not in LAYOUTS:
        raise unknown_name("layout", layout, LAYOUTS)
    if scenes < 2:
        raise InputError(f"scenes is {scenes}; give at least 2, one for training and one for the test")
    testing = max(1, round(scenes / 3)) if test is None else test
    if not 0 < testing < scenes:
        raise InputError(f"{testing} of {scenes} scenes for testing leave none for training or none to test")
    check_empty(out)
    from aims.synth.recordings import record

    seen = record(family, seed, range(scenes), size, device)
    _ = seen[0]  # complains of its arguments before a folder is made
    work = out / UNFINISHED
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        with naming(out):
            LAYOUTS[layout].write(work, seen, scenes - testing, on_progress)
        about = {"layout": layout, "family": family, "seed": seed, "scenes": scenes, "test": testing}
        about |= {"size": list(size)}
        write_json(work / DESCRIPTION, {"made_up": f"rendered by AIMS {__version__}", **about})
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    # The description first: whatever is there says that it is made up.
    for path in sorted(work.iterdir(), key=lambda path: path.name != DESCRIPTION):
        path.rename(out / path.name)
    work.rmdir()
    return out


def is_written(out: Path) -> bool:
    """Returns whether a folder holds a dataset that `write` has finished."""
    return (out / DESCRIPTION).is_file() and not (out / UNFINISHED).exists()


def check_empty(out: Path) -> None:
    """Raises InputError if a path is no folder, or holds anything but what an interrupted `write` leaves."""
    if (out / DESCRIPTION).is_file() and (out / UNFINISHED).exists():
        raise InputError(f"{out}: holds a part of a dataset whose writing was stopped; delete it")
    if out.exists() and (not out.is_dir() or any(path.name != UNFINISHED for path in out.iterdir())):
        raise InputError(f"{out}: is not empty; give a new folder with --out")


def convert_arguments(layout: str, raw: Path, size: tuple[int, int], family: str) -> list[str]:
    """Returns the arguments with which `aims convert` reads every stream of a dataset in that layout."""
    if layout == FOLDER:
        return [layout, str(raw / f"{family}.toml")]
    options = LAYOUTS[layout].options
    # HHA needs the camera's intrinsics, which the NYUv2 converter knows for the whole 4:3 frame only.
    if layout == "nyuv2" and size[0] * 4 == size[1] * 3:
        options = ("--hha",)
    return [layout, "--raw", str(raw), *options]


class _Pictures(Mapping[str, _Picture], Generic[_Picture]):
    """Images by name, each made on access, so that memory holds one batch of scenes and not the dataset."""

    def __init__(
        self, seen: Recordings, places: Mapping[str, int], make: _Make[_Picture], on_progress: _Progress
    ) -> None:
        self._seen, self._places, self._make, self._on_progress = seen, places, make, on_progress

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __getitem__(self, name: str) -> _Picture:
        picture = self._make(self._seen[self._places[name]])
        self._on_progress(1)
        return picture


def _nyuv2(root: Path, seen: Recordings, training: int, on_progress: _Progress) -> None:
    """Writes depth with the sensor's holes as both `depths` and `rawDepths`; raw label k is class k."""

    def picture(scene: Recording) -> nyuv2.NYUv2Image:
        return nyuv2.NYUv2Image(
            rgb=scene.rgb, depth=scene.depth_m, labels=scene.classes, scene=f"{scene.family}_{scene.scene_id}"
        )

    names = seen[0].class_names
    places = {name: place for place, name in enumerate(seen.scene_ids)}
    numbers = [min(label, len(names)) for label in range(1, _LABELS_OF_NYUV2 + 1)]
    nyuv2.write_official(
        root,
        _Pictures(seen, places, picture, on_progress).values(),
        train=range(1, training + 1),
        test=range(training + 1, len(seen) + 1),
        mapping=(numbers, names),
    )


def _polarization(scene: Recording) -> dict[str, NDArray[np.float32]]:
    """Returns intensity, AoLP and DoLP scaled as in RGBP-Glass, all from 0 to 1."""
    s0, s1, s2 = stokes(*scene.polarizers)
    # AoLP in radians from -pi/2 to pi/2 becomes a fraction of pi in [0, 1).
    turns = (aolp(s1, s2) / np.float32(np.pi)) % np.float32(1)
    return {"intensity": np.minimum(s0, 1), "aolp": turns, "dolp": dolp(s0, s1, s2)}


def _rgbp_glass(scene: Recording) -> rgbp_glass.RGBPGlassImage:
    return rgbp_glass.RGBPGlassImage(**_polarization(scene), instances=scene.instances)


def _zju_rgbp(scene: Recording) -> zju_rgbp.ZJURGBPImage:
    i0, i45, i90, i135 = np.rint(255 * scene.polarizers).astype(np.uint8)
    return zju_rgbp.ZJURGBPImage(i0=i0, i45=i45, i90=i90, i135=i135, labels=scene.instances)


def _thermal_glass(scene: Recording) -> thermal_glass.ThermalGlassImage:
    return thermal_glass.ThermalGlassImage(rgb=scene.rgb, temperature=scene.thermal_c, panes=scene.instances)


def _ivrg_nir(scene: Recording) -> ivrg_nir.IVRGNIRImage:
    return ivrg_nir.IVRGNIRImage(nir=scene.nir, rgb=scene.rgb, regions=scene.instances)


#: Metadata of the streams in the folder layout; the valid ranges are those of the real datasets' converters.
_FOLDER_STREAMS: Mapping[str, Mapping[str, object]] = {
    "thermal": {"unit": "degree Celsius", "valid_range": [-20, 120]},
    "depth": {"unit": "m", "valid_range": [0, 10], "missing": 0},
    "hha": {"unit": "disparity, height above ground in cm, angle with gravity in degrees + 38"},
    "nir": {"unit": "digital number"},
    "intensity": {"unit": "fraction of full scale", "valid_range": [0, 1]},
    "aolp": {"unit": "fraction of 180 degrees", "valid_range": [0, 1]},
    "dolp": {"unit": "fraction of 1", "valid_range": [0, 1]},
}


def _folder(root: Path, seen: Recordings, training: int, on_progress: _Progress) -> None:
    """Writes every sensor and RGB of every scene; labels are the family's class ids."""

    def images() -> Iterator[folder.FolderImage]:
        for place, scene in enumerate(seen):
            yield folder.FolderImage(
                image_id=scene.scene_id,
                split="train" if place < training else "test",
                labels=scene.classes,
                streams={
                    "thermal": scene.thermal_c,
                    "depth": scene.depth_m,
                    "hha": scene.hha,
                    "nir": scene.nir,
                    **_polarization(scene),
                },
                rgb=scene.rgb,
            )
            on_progress(1)

    first = seen[0]
    names = first.class_names
    folder.write_folder(
        root,
        images(),
        name=first.family,
        license="Apache-2.0",
        palette={name: _hue(place / len(names)) for place, name in enumerate(names)},
        streams=_FOLDER_STREAMS,
    )


def _hue(turn: float) -> folder.Colour:
    red, green, blue = (round(255 * level) for level in colorsys.hsv_to_rgb(turn, 0.8, 0.9))
    return red, green, blue


def _by_split(make: _Make[_Picture], write_splits: Callable[[Path, Any], object], ending: str = "") -> _Write:
    """Makes a writer for layouts with one folder per split; `ending` is appended to each image's name."""

    def write_set(root: Path, seen: Recordings, training: int, on_progress: _Progress) -> None:
        places = [(f"{name}{ending}", place) for place, name in enumerate(seen.scene_ids)]
        parts = {"train": places[:training], "test": places[training:]}
        pictures = {split: _Pictures(seen, dict(part), make, on_progress) for split, part in parts.items()}
        write_splits(root, pictures)

    return write_set


@dataclass(frozen=True)
class Layout:
    """One raw layout.

    Attributes:
        write: writes all scenes to a folder; the given number of first scenes is the training split.
        options: options that `aims convert` needs for this layout.
    """

    write: _Write
    options: tuple[str, ...] = ()


def _numbered(root: Path, splits: Mapping[str, Mapping[str, thermal_glass.ThermalGlassImage]]) -> None:
    thermal_glass.write_authors(root, splits, numbered=True)


#: Layouts by the name of the converter that reads them.
LAYOUTS: dict[str, Layout] = {
    FOLDER: Layout(_folder),
    "nyuv2": Layout(_nyuv2),
    "rgbp-glass": Layout(_by_split(_rgbp_glass, rgbp_glass.write_redistributed)),
    "zju-rgbp": Layout(_by_split(_zju_rgbp, zju_rgbp.write_redistributed)),
    # The converter takes the scene's folder as the group, so each image needs a folder of its own.
    "thermal-glass": Layout(_by_split(_thermal_glass, _numbered, "/view"), ("--numbered-masks",)),
    "ivrg-nir": Layout(_by_split(_ivrg_nir, ivrg_nir.write_redistributed)),
}
