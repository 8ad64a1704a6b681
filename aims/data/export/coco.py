"""Writes COCO instance files, one annotation at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from aims.core.files import naming
from aims.core.schema import FORMAT_VERSION
from aims.data.read import Dataset
from aims.version import __version__


class AnnotationFile:
    """Writer of one `annotations/SPLIT.json`; use `writing` to open it.

    Annotations are written as they are added; the short entries of the images are kept until the end.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._images: list[str] = []
        self._annotations = 0

    @classmethod
    @contextmanager
    def writing(cls, path: Path, dataset: Dataset, split: str) -> Iterator[AnnotationFile]:
        """Context manager that opens the file and completes it on exit; equal content gives equal bytes."""
        spec = dataset.spec
        header = {
            "info": {"description": spec.name, "url": spec.url or "", "version": f"AIMS {__version__}"},
            "licenses": [{"id": 1, "name": spec.license, "url": ""}],
            "categories": [{"id": k, "name": name} for k, name in enumerate(spec.classes, start=1)],
            "aims": {
                "version": FORMAT_VERSION,
                "dataset": asdict(spec),
                "split": split,
                "splits": list(dataset.manifest.splits),
                "fingerprint": dataset.fingerprint,
            },
        }
        path.parent.mkdir(exist_ok=True)
        with naming(path), path.open("x", encoding="utf-8", newline="\n") as file:
            lines = "".join(f"{_json(key)}: {_json(value)},\n" for key, value in header.items())
            file.write(f'{{{lines}"annotations": [')
            writer = cls(file)
            yield writer
            file.write('\n],\n"images": [\n' + ",\n".join(writer._images) + "\n]}\n")

    def add(self, image: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]]) -> None:
        """Adds an image and its annotations."""
        self._images.append(_json(image))
        for annotation in annotations:
            self._file.write((",\n" if self._annotations else "\n") + _json(annotation))
            self._annotations += 1


def compress_masks(instances: NDArray[np.uint16], ids: Iterable[int]) -> Iterator[tuple[int, str]]:
    """Encodes instances as compressed RLE, all of them in one pass over the map.

    Args:
        instances: (height, width), 0 = nothing.
        ids: the instances to encode, all of which occur in the map.

    Yields:
        Each id with its counts, byte for byte those of `pycocotools.mask.encode`.
    """
    height, width = instances.shape
    # The runs of COCO's RLE go down the columns.
    flat = instances.ravel(order="F")
    starts = np.append(0, np.flatnonzero(flat[1:] != flat[:-1]) + 1)
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    order = np.argsort(values, kind="stable")
    for k in ids:
        own = order[slice(*np.searchsorted(values[order], (k, k + 1)))]
        bounds = np.stack((starts[own], ends[own]), axis=1).ravel()
        tail = [flat.size] if bounds[-1] < flat.size else []
        # Counts alternate between background and instance; the first is background and may be 0.
        counts = np.diff(np.append(bounds, tail), prepend=0).astype(np.int64).tolist()
        rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        yield k, rle["counts"].decode()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
