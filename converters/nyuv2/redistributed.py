"""NYUv2 as re-distributed for RGB-D segmentation: a folder `NYUDepthv2/` with one file per image."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from aims.core.errors import InputError
from aims.core.files import regular_file
from aims.core.schema import Array, InstanceMap, LeftOut, Sample, SampleError, SemanticMap
from aims.core.vocabulary import BROKEN_IMAGES
from aims.reading.pictures import check_sizes, load_picture, load_rgb

from ..reading.files import AUTO, load_numbers, on_disk
from ..reading.label_maps import class_map
from .classes import CLASS_NAMES
from .hha import compute_hha

_SPLITS = ("train", "test")
_FARTHEST_M = 100
_FIRST_COLUMN = re.compile(r"RGB/(\d+)\.(?i:jpg)")
#: What the numbers of Mask_gt can be.
LABELS = ("classes", "instances")
# The number of "unlabelled" is unconfirmed: both 0 and 255 are in use for the 40 classes.
_VOID = (0, 255)
_CLASSES = {**dict.fromkeys(_VOID, 0), **{class_id: class_id for class_id in range(1, 41)}}


class FolderLayout:
    """`RGB/N.jpg`, `Depth/N.npy`, `HHA/N.jpg`, `Mask_gt/N.png`, and the lists `train.txt` and `test.txt`.

    Labels are classes 1 to 40, or numbers of instances without classes; 0 and 255 are void either way. The
    archive does not say which of the two it holds: the paper's program takes every number for one region.
    Scenes are not named, so each image is its own group. HHA files
    are JPEG, hence not exact; they are read in the channel order of the file. Images 398 and 1133 are known
    to be broken here: the protocols define how to treat them, so they are converted if they can be read, and
    left out otherwise.

    Args:
        root: folder of the files.
        streams: the streams to read: "depth", "hha".
        hha_from: "files", "depth" (computed), or "auto": files if their folder exists.
        labels: a name in `LABELS`, or "auto": instances if a number is no class.
    """

    def __init__(
        self,
        root: Path,
        streams: Collection[str] = ("depth",),
        *,
        hha_from: str = AUTO,
        labels: str = AUTO,
    ) -> None:
        self.root = root
        self.streams = streams
        self._labels = labels
        found = "files" if (root / "HHA").is_dir() else "depth"
        self.hha_from = found if hha_from == AUTO else hha_from

    def check(self) -> None:
        """Raises InputError if lists cannot be read, a stream is missing, or labels could mean either."""
        if "raw_depth" in self.streams:
            raise InputError(
                f"{self.root}: --raw-depth: this layout holds no depth as measured; leave it out, or "
                "give the folder of the authors' nyu_depth_v2_labeled.mat with --raw"
            )
        if "hha" in self.streams and self.hha_from == "files" and not (self.root / "HHA").is_dir():
            raise InputError(
                f"{self.root / 'HHA'}: no such folder; --hha-from depth computes HHA from Depth/ instead"
            )
        _ = self._listed_ids, self.labels

    @property
    def labels(self) -> str:
        """What the numbers of the labels are, a name in `LABELS`.

        Raises:
            InputError: it is to be found out, and all numbers could be classes.
        """
        return "instances" if self.not_a_class else self._labels

    @cached_property
    def not_a_class(self) -> Path | None:
        """The first label file with a number that is no class, if what the numbers are is to be found out."""
        if self._labels != AUTO:
            return None
        for ids in self._listed_ids.values():
            for image_id in ids:
                try:
                    numbers = self._numbers(image_id)
                except SampleError:  # raised again where the image is read
                    continue
                if not np.isin(numbers, tuple(_CLASSES)).all():
                    return self._paths(image_id)[2]
        raise InputError(
            f"{self.root / 'Mask_gt'}: all numbers are 0 to 40 or 255, so they may be classes or instances, "
            f"and the archive does not say which: give --labels {' or --labels '.join(LABELS)}"
        )

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; instances have none, so all are of one class."""
        return CLASS_NAMES if self.labels == "classes" else ("region",)

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """The ids of both splits, in the order of their lists."""
        absent = {item.image_id for item in self.left_out}
        return {
            split: tuple(image_id for image_id in ids if image_id not in absent)
            for split, ids in self._listed_ids.items()
        }

    @cached_property
    def left_out(self) -> Sequence[LeftOut]:
        """The images known to be broken that cannot be read."""
        broken = BROKEN_IMAGES["nyuv2"]
        listed = ((split, i) for split, ids in self._listed_ids.items() for i in ids if i in broken)
        return tuple(item for split, image_id in listed if (item := self._unusable(split, image_id)))

    def _unusable(self, split: str, image_id: str) -> LeftOut | None:
        try:
            self.read(image_id)
        except SampleError as error:
            # The dataset must not depend on where the raw folder lies.
            reason = str(error).replace(f"{self.root}{os.sep}", "")
            return LeftOut(split=split, image_id=image_id, reason=f"broken in this archive: {reason}")
        return None

    @cached_property
    def _listed_ids(self) -> Mapping[str, Sequence[str]]:
        seen: dict[str, str] = {}
        return {split: tuple(self._listed(split, seen)) for split in _SPLITS}

    def _listed(self, split: str, seen: dict[str, str]) -> list[str]:
        path = self.root / f"{split}.txt"
        try:
            lines = regular_file(path).read_text(encoding="utf-8-sig").splitlines()
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; it lists the images of the split {split!r}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not readable as text ({error}); copy it again") from error
        ids = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            column = line.split("\t")[0].strip().replace("\\", "/")
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
        """Reads one image; the bytes of the RGB file and the depth values are kept."""
        rgb_path, depth_path, label_path = self._paths(image_id)[:3]
        rgb, size = load_rgb(rgb_path)
        depth = _depth(depth_path)
        numbers = self._numbers(image_id)
        check_sizes([(rgb_path, size), (depth_path, depth.shape[:2]), (label_path, numbers.shape)])
        labels: SemanticMap | InstanceMap
        if self.labels == "classes":
            labels = SemanticMap(class_map=class_map(label_path, numbers, _CLASSES, known="1 to 40"))
        else:
            instances = np.where(np.isin(numbers, _VOID), 0, numbers)
            labels = InstanceMap(
                instances=instances, class_ids=dict.fromkeys(np.unique(instances[instances > 0]).tolist(), 1)
            )
        streams = {"depth": depth}
        if "hha" in self.streams:
            streams["hha"] = self._hha(image_id, depth)
        return Sample(image_id=image_id, group=image_id, streams=streams, labels=labels, rgb=rgb)

    def _numbers(self, image_id: str) -> Array:
        path = self._paths(image_id)[2]
        return load_numbers(path, load_picture(path))

    def _hha(self, image_id: str, depth: Array) -> Array:
        _, depth_path, _, *hha_paths = self._paths(image_id)
        if not hha_paths:
            return compute_hha(depth_path, depth[..., 0])
        (hha_path,) = hha_paths
        hha = load_picture(hha_path).array
        if hha.shape[2] != 3:
            raise SampleError(
                f"{hha_path}: {hha.shape[2]} channel(s), expected disparity, height and angle; copy it "
                "again, or compute HHA with --hha-from depth"
            )
        check_sizes([(depth_path, depth.shape[:2]), (hha_path, hha.shape[:2])])
        return hha

    def shared_files(self) -> Sequence[Path]:
        """Returns the two lists."""
        return tuple(self.root / f"{split}.txt" for split in _SPLITS)

    def files(self, image_id: str) -> Mapping[str, Path]:
        """Returns the files of RGB, depth, labels, and HHA if it is read from files, by their forms."""
        forms = ["RGB/{id}.jpg", "Depth/{id}.npy", "Mask_gt/{id}.png"]
        if "hha" in self.streams and self.hha_from == "files":
            forms.append("HHA/{id}.jpg")
        return {form: on_disk(self.root / form.format(id=image_id)) for form in forms}

    def _paths(self, image_id: str) -> tuple[Path, ...]:
        return tuple(self.files(image_id).values())


def _depth(path: Path) -> Array:
    """Reads (height, width, 1) metres, as stored."""
    depth = load_picture(path).array
    if depth.shape[2] != 1:
        raise SampleError(f"{path}: {depth.shape[2]} channels, expected one depth map (height, width)")
    # The sensor's range is 10 m, so such values are millimetres, while the manifest declares metres.
    if np.median(depth) > _FARTHEST_M:
        raise SampleError(
            f"{path}: median depth is {np.median(depth):g}, expected metres; divide millimetres by 1000"
        )
    return depth
