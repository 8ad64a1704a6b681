"""Every raw layout of the folder converter, written from arrays, through a conversion, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_folder import HEIGHT, WIDTH, label_map, ramp

from aims.converters.folder import FolderConverter
from aims.data.read import Dataset
from aims.data.write import convert
from aims.synth.layouts.folder import FolderImage, write_folder

PALETTE = {"weed": (255, 0, 10), "crop": (10, 0, 255)}
IDS = {"train": ("b", "a"), "test": ("c",)}


def streams(start: int) -> dict[str, np.ndarray]:
    """One stream of each kind, with a different value in every channel."""
    depth = ramp(start, 1, np.float32)[..., 0] / np.float32(7)
    depth[0, :3] = [np.nan, np.inf, -np.inf]
    return {
        "grey": ramp(start % 100, 1, np.uint8)[..., 0],
        "bands": ramp(start, 5, np.uint16),
        "depth": depth,
        "double": ramp(start, 2, np.float64) + 0.1,
    }


def images() -> list[FolderImage]:
    names = [(split, name) for split, ids in IDS.items() for name in ids]
    return [
        FolderImage(image_id=name, split=split, labels=label_map(), streams=streams(1000 * k))
        for k, (split, name) in enumerate(names)
    ]


def converted(root: Path, made: list[FolderImage], **options: Any) -> Dataset:
    facts = {name: {"unit": "digital number"} for name in made[0].streams}
    config = write_folder(
        root / "raw", made, name="made-up", license="CC0-1.0", palette=PALETTE, streams=facts, **options
    )
    assert convert(FolderConverter(config=config), root / "out").dropped == []
    return Dataset.open(root / "out")


@pytest.mark.parametrize("coco", [False, True])
@pytest.mark.parametrize("form", ["picture", "tiff", "npz", "mat5", "mat73"])
def test_every_form_keeps_every_bit(tmp_path: Path, form: str, coco: bool) -> None:
    dataset = converted(tmp_path, images(), form=form, coco=coco)
    assert {split: tuple(ref.image_id for ref in refs) for split, refs in dataset.index.items()} == IDS
    for number, ref in enumerate(ref for refs in dataset.index.values() for ref in refs):
        expected = streams(1000 * number)
        image = dataset.read(ref, tuple(expected))
        for name, array in expected.items():
            whole = np.ascontiguousarray(array.reshape(HEIGHT, WIDTH, -1))
            assert (image.streams[name].shape, image.streams[name].dtype) == (whole.shape, whole.dtype)
            assert image.streams[name].tobytes() == whole.tobytes()
        class_ids = np.array([0, *(entry["class_id"] for entry in image.objects)])
        np.testing.assert_array_equal(class_ids[image.instances], label_map())


@pytest.mark.parametrize("form", ["npz", "mat5", "mat73"])
def test_one_file_holds_all_streams(tmp_path: Path, form: str) -> None:
    converted(tmp_path, images(), form=form)
    suffix = "npz" if form == "npz" else "mat"
    files = sorted(path.relative_to(tmp_path / "raw").as_posix() for path in (tmp_path / "raw").rglob("*.*"))
    assert [file for file in files if file.startswith("data/")] == [f"data/{name}.{suffix}" for name in "abc"]
    assert not (tmp_path / "raw" / "grey").exists()


@pytest.mark.parametrize("form", ["tiff", "npz", "mat5", "mat73"])
def test_the_same_arrays_give_the_same_bytes(tmp_path: Path, form: str) -> None:
    for name in ("one", "two"):
        write_folder(
            tmp_path / name,
            images(),
            name="made-up",
            license="CC0-1.0",
            palette=PALETTE,
            streams={name: {"unit": "digital number"} for name in streams(0)},
            form=form,
            coco=True,
        )
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file()]
    assert len(files) >= 8
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("resolution", ["full", "half"])
def test_mosaic_gives_the_frame_back(tmp_path: Path, resolution: str, dtype: type) -> None:
    frame = np.arange(6 * 8).reshape(6, 8).astype(dtype) * dtype(5)
    labels = np.zeros((6, 8) if resolution == "full" else (3, 4), np.uint8)
    labels[:2, 1:3] = 2
    layout = ((0, 45), (135, 90))
    made = [
        FolderImage(image_id=name, split=split, labels=labels, mosaic=frame + dtype(k), streams={})
        for k, (split, name) in enumerate((split, name) for split, ids in IDS.items() for name in ids)
    ]
    dataset = converted(tmp_path, made, layout=layout, resolution=resolution)
    for number, ref in enumerate(ref for refs in dataset.index.values() for ref in refs):
        image = dataset.read(ref, ("i0", "i45", "i90", "i135"))
        recovered = np.full_like(frame, 255)
        for (y, x), angle in np.ndenumerate(np.array(layout)):
            plane = image.streams[f"i{angle}"][..., 0]
            recovered[y::2, x::2] = plane[y::2, x::2] if resolution == "full" else plane
        np.testing.assert_array_equal(recovered, frame + dtype(number))
        np.testing.assert_array_equal(image.instances > 0, labels > 0)
