"""NYU Depth Dataset V2: 1449 indoor images with depth, in 40 classes (Silberman et al., ECCV 2012).

Two layouts are read: the authors' `nyu_depth_v2_labeled.mat` with `splits.mat` (and `classMapping40.mat` by
Gupta et al. if it exists), and the re-distributed folder `NYUDepthv2/`. If both exist, the authors' layout is
read. Images 398 and 1133, broken in the re-distributed folder, are converted if they can be read: the
protocol decides what replaces them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from aims.core.errors import InputError, unknown_name
from aims.core.schema import DatasetSpec, LeftOut, Published, Sample, StreamSpec, option

from ..reading.files import AUTO
from ..reading.published import Files, FilesConverter
from .hha import COMPUTED, STORED
from .official import LABELED, MAPPING, SPLITS, URL, OfficialLayout
from .redistributed import LABELS, FolderLayout

_FOLDER = "NYUDepthv2"
_PUBLISHED = Published(
    streams=("depth",),
    license="non-commercial research",
    citation=(
        "Nathan Silberman, Derek Hoiem, Pushmeet Kohli, Rob Fergus: Indoor Segmentation and Support "
        "Inference from RGBD Images. ECCV 2012"
    ),
    url=URL,
    images={"train": 795, "test": 654},
    sensor="depth",
    size="2.8 GB",
)
_HHA_SOURCES = (AUTO, "files", "depth")


@dataclass(frozen=True, kw_only=True)
class NYUv2Converter(FilesConverter):
    """NYUv2: depth in metres, RGB, and 40 classes.

    HHA is computed for the camera of the full 640 x 480 frame, scaled for pictures of another size.
    """

    name: ClassVar[str] = "nyuv2"
    published: ClassVar[Published] = _PUBLISHED

    hha: bool = option(False, help="Add the stream hha: disparity, height above ground, angle with gravity.")
    hha_from: str = option(
        AUTO, help="Where hha is from: files (HHA/N.jpg), depth (computed), auto (files where they are)."
    )
    raw_depth: bool = option(
        False, help="Add the stream raw_depth: depth as measured, 0 where it is missing."
    )

    labels: str = option(
        AUTO,
        help="What re-distributed labels are: classes, instances, or auto (instances if a number is "
        "no class, else it must be said).",
    )

    def spec(self) -> DatasetSpec:
        """Describes the dataset. Depth 0 is a missing measurement; the sensor's range is 10 m."""
        if self.hha_from not in _HHA_SOURCES:
            raise unknown_name("source of hha", self.hha_from, _HHA_SOURCES, where="--hha-from")
        if self.labels not in (AUTO, *LABELS):
            raise unknown_name("kind of labels", self.labels, (AUTO, *LABELS), where="--labels")
        if self.hha_from != AUTO and not self.hha:
            raise InputError(
                f"--hha-from {self.hha_from}: says where hha is from; add --hha, or leave it out"
            )
        self._layout.check()
        depth = StreamSpec(channels=1, unit="m", valid_range=(0.0, 10.0), missing=0.0)
        unit = STORED if self._layout.hha_from == "files" else COMPUTED
        streams = {
            "depth": depth,
            "raw_depth": depth,
            "hha": StreamSpec(channels=3, unit=unit, valid_range=(0.0, 255.0)),
        }
        return _PUBLISHED.describe(
            self.name,
            classes=self._layout.classes,
            streams={name: streams[name] for name in self._streams},
            has_rgb=True,
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Returns the numbers of the 795 training and 654 test images, in the source's order."""
        return self._layout.splits

    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image."""
        return self._layout.read(image_id)

    def files(self, split: str, image_id: str) -> Files:
        """Returns the image's own files: none in the authors' layout."""
        return self._layout.files(image_id)

    @property
    def folder(self) -> Path:
        """The folder of the layout."""
        return self._layout.root

    def shared_files(self) -> Sequence[Path]:
        """Returns the files that all images of the layout share."""
        return self._layout.shared_files()

    def warnings(self) -> Sequence[str]:
        """Returns a line if the re-distributed labels were taken for instances because of their numbers."""
        found = None if isinstance(self._layout, OfficialLayout) else self._layout.not_a_class
        if found is None:
            return ()
        return (
            f"{found} holds a number above 40: all labels are read as instances (--labels classes: 1 to 40)",
        )

    def left_out(self) -> Sequence[LeftOut]:
        """Returns images 398 and 1133 if the re-distributed folder holds them in an unreadable state."""
        return self._layout.left_out

    def options(self) -> dict[str, Any]:
        """Returns the options; `hha_from` is the source that was used, None without HHA.

        `labels` is there if it was given.
        """
        options = {**super().options(), "hha_from": self._layout.hha_from if self.hha else None}
        if self.labels == AUTO:
            del options["labels"]
        return options

    @property
    def _streams(self) -> tuple[str, ...]:
        return ("depth", *["raw_depth"] * self.raw_depth, *["hha"] * self.hha)

    @cached_property
    def _layout(self) -> OfficialLayout | FolderLayout:
        if (self.root / LABELED).is_file():
            if self.hha_from == "files":
                raise InputError(
                    f"{self.root / LABELED}: --hha-from files: the authors' layout holds no HHA; leave it "
                    f"out and HHA is computed from the depth, or give the folder {_FOLDER}/ with --raw"
                )
            if self.labels != AUTO:
                raise InputError(
                    f"{self.root / LABELED}: --labels {self.labels}: the authors' layout holds classes and "
                    "instances, and both are read; leave it out"
                )
            return OfficialLayout(self.root, self._streams)
        for folder in (self.root, self.root / _FOLDER):
            if (folder / "RGB").is_dir() or any(
                (folder / f"{split}.txt").is_file() for split in ("train", "test")
            ):
                return FolderLayout(folder, self._streams, hha_from=self.hha_from, labels=self.labels)
        raise InputError(
            f"{self.root}: neither the authors' NYUv2 ({LABELED}, {SPLITS}, and if you have it {MAPPING} by "
            f"Gupta et al.) nor the re-distributed one (RGB/, Depth/, HHA/, Mask_gt/, train.txt, test.txt, "
            f"here or in {_FOLDER}/); get it from {URL} and give its folder with --raw"
        )
