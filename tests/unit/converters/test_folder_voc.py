"""Pascal VOC's pair of maps, as the set has it and as annotation tools export it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_folder import HEIGHT, WIDTH, Make

from aims.core.schema import InstanceMap

LABELS = 'files = "labels/{id}.png"\nkind = "semantic"\nvalues = { weed = 1, crop = 2 }'
VOC = 'files = "SegmentationObject/{id}.png"\nclass_files = "SegmentationClass/{id}.png"\nkind = "instance"'
SPLITS = 'train = ["b", "a"]\ntest = ["c"]'
#: The first colours of VOC's palette, and that of the border, 255.
PALETTE = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 255: (224, 224, 192)}


def maps() -> tuple[np.ndarray, np.ndarray]:
    """Two weeds that touch and a crop, each with a border; objects are numbered through."""
    classes, objects = (np.zeros((HEIGHT, WIDTH), np.uint8) for _ in range(2))
    classes[:2, :4] = 1
    objects[:2, :2], objects[:2, 2:4] = 1, 2
    classes[3:, 4:], objects[3:, 4:] = 2, 3
    for values in (classes, objects):
        values[2] = 255
    return classes, objects


def save(path: Path, values: np.ndarray, *, coloured: bool) -> None:
    path.parent.mkdir(exist_ok=True)
    colours = np.zeros((256, 3), np.uint8)
    for number, colour in PALETTE.items():
        colours[number] = colour
    picture = Image.fromarray(colours[values] if coloured else values)
    if not coloured:
        picture.putpalette(colours.ravel().tolist())
    picture.save(path)


NUMBERS = "values = { weed = 1, crop = 2 }\nvoid = 255"
COLOURS = "palette = { weed = [128, 0, 0], crop = [0, 128, 0] }\nvoid = [224, 224, 192]"


@pytest.mark.parametrize(
    ("classes", "coloured"),
    [(NUMBERS, False), (COLOURS, False), (COLOURS, True)],
    ids=["numbers", "palette", "colours"],
)
def test_pairs_of_maps(make: Make, raw: Path, classes: str, coloured: bool) -> None:
    for folder, values in zip(("SegmentationClass", "SegmentationObject"), maps(), strict=True):
        save(raw / folder / "a.png", values, coloured=coloured)
    (raw / "ImageSets").mkdir()
    (raw / "ImageSets" / "train.txt").write_text("a\n")
    converter = make((LABELS, f"{VOC}\n{classes}"), (SPLITS, 'train = "ImageSets/train.txt"'))
    labels = converter.read("train", "a").labels
    assert isinstance(labels, InstanceMap)
    found = {
        labels.class_ids[number]: np.argwhere(labels.instances == number)[0].tolist()
        for number in labels.class_ids
    }
    assert len(labels.class_ids) == 3
    assert sorted(labels.class_ids.values()) == [1, 1, 2]
    assert found[2] == [3, 4]
    areas = {number: int((labels.instances == number).sum()) for number in labels.class_ids}
    assert sorted(areas.values()) == [4, 4, 6]
    assert not labels.instances[2].any()
