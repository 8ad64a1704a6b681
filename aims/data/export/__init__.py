"""Exports an AIMS dataset as COCO, or as a folder of images, without loss.

Both formats share one layout; paths are relative to the folder:

    annotations/{split}.json                   COCO instances; the key "aims" holds what COCO does not define.
                                               `file_name` is relative to the export; in the folder format
                                               to images/{split} (without RGB: to the first stream's folder)
    images/{split}/{name}.{jpg,png,...}        the RGB images, byte for byte
    streams/{stream}/{split}/{name}.{png,npy}  the sensor streams, lossless
    labels/{split}/{name}.png                  folder only: 16-bit instance maps
    folder.toml                                folder only: the description for `aims convert folder`

Files are staged in `OUT.partial` beside the target, which is renamed to `OUT` when it is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path, PurePosixPath
from typing import Any

from aims.core.columns import CLICKS
from aims.core.errors import AimsError, InputError, unknown_name
from aims.core.files import naming
from aims.core.staging import new_folder, require_new
from aims.data.export.coco import AnnotationFile, compress_masks
from aims.data.export.files import FlatNames, encode_stream, path_name, picture_suffix
from aims.data.export.folder import FolderDescription
from aims.data.format import decode_instances, decode_tensor
from aims.data.read import Dataset

FORMATS = ("coco", "folder")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Result of `export`.

    Attributes:
        folder: the exported dataset.
        images: number of images.
        instances: number of instances.
        lost: information that the format cannot hold, one line each.
    """

    folder: Path
    images: int
    instances: int
    lost: tuple[str, ...]


def export(
    dataset: Dataset,
    out: Path,
    *,
    to: str,
    on_progress: Callable[[int], None] = lambda images: None,
) -> Export:
    """Writes a dataset in another format. The same dataset gives the same bytes.

    Args:
        dataset: what to write.
        out: folder to create; absent or empty.
        to: "coco" or "folder".
        on_progress: called with the number of images written since the last call.

    Raises:
        InputError: `out` exists already, or the format cannot hold the dataset.
        AimsError: the dataset is damaged.
    """
    if to not in FORMATS:
        raise unknown_name("format", to, FORMATS)
    if out.resolve().is_relative_to(dataset.folder.resolve()):
        raise InputError(f"{out}: lies in the dataset itself; give another --out")
    require_new(out)
    with new_folder(out) as folder:
        writer = _Writer(dataset, folder, FolderDescription(dataset) if to == "folder" else None)
        for split in dataset.manifest.splits:
            writer.write_split(split, on_progress)
        lost = () if writer.description is None else writer.description.write(folder)
    return Export(folder=out, images=writer.images, instances=writer.instances, lost=lost)


class _Writer:
    """Writes the images of all splits, and counts them."""

    def __init__(self, dataset: Dataset, folder: Path, description: FolderDescription | None) -> None:
        self.dataset = dataset
        self.folder = folder
        self.description = description
        self.images = 0
        self.instances = 0
        # Unique over all splits, so that the annotation files can be merged.
        self._annotation_ids = count(1)

    def write_split(self, split: str, on_progress: Callable[[int], None]) -> None:
        names = FlatNames() if self.description is None else path_name
        with AnnotationFile.writing(
            self.folder / "annotations" / f"{split}.json", self.dataset, split
        ) as annotations:
            for file, entry in self.dataset.manifest.files.items():
                for _, _, row in self.dataset.rows(file) if entry.split == split else ():
                    try:
                        self._write(annotations, split, names(row["image_id"]), row)
                    except (ValueError, LookupError, TypeError) as error:
                        where = f"{self.dataset.folder / file}: image {row['image_id']!r}"
                        raise AimsError(f"{where}: {error}; see `aims verify`") from None
                    on_progress(1)

    def _write(self, annotations: AnnotationFile, split: str, name: str, row: dict[str, Any]) -> None:
        """Writes the files of one image and its annotations."""
        arrays = {stream: decode_tensor(row[stream]) for stream in self.dataset.spec.streams}
        files = {f"streams/{stream}": encode_stream(array) for stream, array in arrays.items()}
        if row["rgb"] is not None:
            files["images"] = (picture_suffix(row["rgb"]["bytes"]), row["rgb"]["bytes"])
        if self.description is not None:
            self.description.add(row["image_id"], arrays, {key: suffix for key, (suffix, _) in files.items()})
            files["labels"] = (".png", row["instances"]["bytes"])
        paths = {key: f"{key}/{split}/{name}{suffix}" for key, (suffix, _) in files.items()}
        for key, (_, content) in files.items():
            path = self.folder / paths[key]
            path.parent.mkdir(parents=True, exist_ok=True)
            # Mode "x" never overwrites: a file system that ignores case may take two names for one.
            with naming(path), path.open("xb") as file:
                file.write(content)
        self.images += 1
        self.instances += len(row["objects"])
        streams = {stream: paths[f"streams/{stream}"] for stream in arrays}
        rgb = paths.get("images")
        file_name = rgb or next(iter(streams.values()))
        if self.description is not None:  # the folder converter finds an image's entry by its id
            file_name = row["image_id"] + PurePosixPath(file_name).suffix
        image = {
            "id": self.images,
            "file_name": file_name,
            "height": row["height"],
            "width": row["width"],
            "license": 1,
            "aims": {"image_id": row["image_id"], "group": row["group"], "rgb": rgb, "streams": streams},
        }
        annotations.add(image, self._annotations(row))

    def _annotations(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        instances = decode_instances(row["instances"]["bytes"])
        objects = {item["id"]: item for item in row["objects"]}
        for k, counts in compress_masks(instances, objects):
            yield {
                "id": next(self._annotation_ids),
                "image_id": self.images,
                "category_id": objects[k]["class_id"],
                "segmentation": {"size": list(instances.shape), "counts": counts},
                "area": objects[k]["area"],
                "bbox": objects[k]["bbox"],
                "iscrowd": 0,
                "aims": {key: objects[k][key] for key in CLICKS},
            }
