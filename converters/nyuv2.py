"""NYU Depth Dataset V2: 1449 indoor pictures with depth, in 40 classes (Silberman et al., ECCV 2012).

Two layouts are read: the authors' `nyu_depth_v2_labeled.mat` with `splits.mat` (and `classMapping40.mat` by
Gupta et al. where it is there), and the re-distributed folder `NYUDepthv2/`. Where both are found, the
authors' is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from aims.core.errors import InputError
from aims.core.schema import Converter, DatasetSpec, Sample, StreamSpec, option

from ._nyuv2_folder import FolderLayout
from ._nyuv2_official import LABELED, MAPPING, SPLITS, URL, OfficialLayout

_FOLDER = "NYUDepthv2"
_CITATION = (
    "Nathan Silberman, Derek Hoiem, Pushmeet Kohli, Rob Fergus: Indoor Segmentation and Support Inference "
    "from RGBD Images. ECCV 2012"
)


@dataclass(frozen=True, kw_only=True)
class NYUv2Converter(Converter):
    """NYUv2: depth in metres, RGB, and 40 classes."""

    name: ClassVar[str] = "nyuv2"

    hha: bool = option(False, help="Add the stream hha (not available in this version).")

    def spec(self) -> DatasetSpec:
        """Describes the set. Depth 0 is a missing measurement; the sensor reaches 10 m."""
        if self.hha:
            raise InputError("--hha: HHA is not available in this version, it comes later; leave it out")
        self._layout.check()
        return DatasetSpec(
            name=self.name,
            classes=self._layout.classes,
            streams={"depth": StreamSpec(channels=1, unit="m", valid_range=(0.0, 10.0), missing=0.0)},
            license="non-commercial research",
            citation=_CITATION,
            url=URL,
            has_rgb=True,
        )

    def splits(self) -> Mapping[str, Sequence[str]]:
        """Image numbers of the 795 training and 654 test pictures, in the source's order."""
        return self._layout.splits

    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image."""
        return self._layout.read(image_id)

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """The image's own files: none in the authors' layout."""
        return self._layout.source_files(image_id)

    def shared_files(self) -> Sequence[Path]:
        """The tables and lists of the layout."""
        return self._layout.shared_files()

    @cached_property
    def _layout(self) -> OfficialLayout | FolderLayout:
        if (self.root / LABELED).is_file():
            return OfficialLayout(self.root)
        for folder in (self.root, self.root / _FOLDER):
            if (folder / "RGB").is_dir() or any(
                (folder / f"{split}.txt").is_file() for split in ("train", "test")
            ):
                return FolderLayout(folder)
        raise InputError(
            f"{self.root}: neither the authors' NYUv2 ({LABELED}, {SPLITS}, and if you have it {MAPPING} by "
            f"Gupta et al.) nor the re-distributed one (RGB/, Depth/, Mask_gt/, train.txt, test.txt, here or "
            f"in {_FOLDER}/); get it from {URL} and give its folder with --raw"
        )
