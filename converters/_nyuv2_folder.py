"""NYUv2 as re-distributed for RGB-D segmentation: a folder `NYUDepthv2/` with one file a picture."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from aims.core.errors import InputError
from aims.core.schema import Sample, SampleError, SemanticMap

from ._images import check_sizes, load_picture, load_rgb
from ._labels import class_map, numbers
from ._nyuv2_classes import CLASS_NAMES

_SPLITS = ("train", "test")
_FARTHEST_M = 100
_FIRST_COLUMN = re.compile(r"RGB/(\d+)\.jpg")
# Which number stands for "unlabelled" is unconfirmed: 0 and 255 are both in use for 40 classes.
_CLASSES = {0: 0, 255: 0, **{class_id: class_id for class_id in range(1, 41)}}


class FolderLayout:
    """`RGB/N.jpg`, `Depth/N.npy`, `Mask_gt/N.png`, and the lists `train.txt` and `test.txt`.

    Labels are 1 to 40; 0 and 255 are nothing. Scenes are not named, so each image is a group of its own.
    """

    classes = CLASS_NAMES

    def __init__(self, root: Path) -> None:
        self.root = root

    def check(self) -> None:
        """Raises InputError unless the lists can be read."""
        _ = self.splits

    @cached_property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Ids of both splits, in the order of their lists."""
        seen: dict[str, str] = {}
        return {split: tuple(self._listed(split, seen)) for split in _SPLITS}

    def _listed(self, split: str, seen: dict[str, str]) -> list[str]:
        path = self.root / f"{split}.txt"
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; it lists the images of the split {split!r}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not readable as text ({error}); copy it again") from error
        ids = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            column = line.split("\t")[0].strip()
            match = _FIRST_COLUMN.fullmatch(column)
            if match is None:
                raise InputError(f"{where}: first column is {column!r}, expected RGB/N.jpg with a number N")
            if match[1] in seen:
                raise InputError(f"{where}: image {match[1]} is listed already in {seen[match[1]]}; keep one")
            seen[match[1]] = where
            ids.append(match[1])
        if not ids:
            raise InputError(f"{path}: lists no image; copy it again")
        return ids

    def read(self, image_id: str) -> Sample:
        """Reads one image: RGB file untouched, depth as stored."""
        rgb_path, depth_path, label_path = self._files(image_id)
        rgb, size = load_rgb(rgb_path)
        depth = load_picture(depth_path).array
        if depth.shape[2] != 1:
            raise SampleError(
                f"{depth_path}: {depth.shape[2]} channels, expected one depth map (height, width)"
            )
        # The sensor reaches 10 m: such a picture is in millimetres, and the manifest says metres.
        if np.median(depth) > _FARTHEST_M:
            raise SampleError(
                f"{depth_path}: median depth is {np.median(depth):g}, expected metres; "
                "divide millimetres by 1000"
            )
        labels = class_map(
            label_path, numbers(label_path, load_picture(label_path)), _CLASSES, known="1 to 40"
        )
        check_sizes([(rgb_path, size), (depth_path, depth.shape[:2]), (label_path, labels.shape[:2])])
        return Sample(
            image_id=image_id,
            group=image_id,
            streams={"depth": depth},
            labels=SemanticMap(class_map=labels),
            rgb=rgb,
        )

    def source_files(self, image_id: str) -> Sequence[Path]:
        """The image's own files that exist."""
        return tuple(path for path in self._files(image_id) if path.is_file())

    def shared_files(self) -> Sequence[Path]:
        """The two lists."""
        return tuple(self.root / f"{split}.txt" for split in _SPLITS)

    def _files(self, image_id: str) -> tuple[Path, Path, Path]:
        return (
            self.root / "RGB" / f"{image_id}.jpg",
            self.root / "Depth" / f"{image_id}.npy",
            self.root / "Mask_gt" / f"{image_id}.png",
        )
