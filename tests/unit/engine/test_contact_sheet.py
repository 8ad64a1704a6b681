"""The contact sheet of a run: sensor, ground truth with clicks and prediction of a few test images."""

from __future__ import annotations

import cv2
import numpy as np
import toys
from pycocotools import mask as coco_mask

from aims.core.vocabulary import DEFAULT_PROTOCOL, PROTOCOLS
from aims.data.modalities import choose_dataset
from aims.engine import contact_sheet
from aims.engine.contact_sheet import save_contact_sheet


def test_a_row_an_image_with_truth_and_prediction(tmp_path, monkeypatch):
    dataset, modality = choose_dataset(
        [toys.made_up_set(tmp_path / "made-up")], "signal", PROTOCOLS[DEFAULT_PROTOCOL]
    )
    refs = dataset.index["train"]
    rows, instances_of = [], {}
    for ref in refs:
        instances = dataset.read(ref, modality.streams).instances
        # Every instance was predicted as nothing.
        rle = coco_mask.encode(np.zeros(instances.shape, np.uint8, order="F"))
        rle = {"size": rle["size"], "counts": rle["counts"].decode("ascii")}
        instances_of[ref.image_id] = np.unique(instances[instances > 0]).tolist()
        for instance_id in instances_of[ref.image_id]:
            y, x = np.argwhere(instances == instance_id)[0].tolist()
            rows.append(
                {
                    "image_id": ref.image_id,
                    "instance_id": instance_id,
                    "iou": 0.25,
                    "rle_native": None,
                    "rle_grid": rle,
                    "click": (x, y),
                    "click_size": instances.shape[::-1],
                }
            )
    sheets = {}
    for count in (1, 2, 100):
        save_contact_sheet(tmp_path / "sheet.png", dataset, modality, refs, rows, pictures=count)
        sheets[count] = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
    # A figure's height is cut to whole pixels.
    assert all(
        abs(len(sheet) - min(count, len(refs)) * len(sheets[1])) < len(refs)
        for count, sheet in sheets.items()
    )
    # Of the pixels, those of a colour that the sensor's panel does not have: masks and clicks.
    sensor, truth, prediction = (
        (panel @ (1, 256, 65536)).ravel() for panel in np.array_split(sheets[1], 3, axis=1)
    )
    drawn = [np.count_nonzero(~np.isin(panel, sensor)) for panel in (truth, prediction)]
    clicks = len(instances_of[refs[0].image_id])
    assert drawn[0] > drawn[1] + 1000
    # A click is a dot of 4 points in a ring, at 110 points an inch.
    assert 0 < drawn[1] < clicks * 150

    # Dots that would hide the picture are left out, and its title says so: the letters are over the panel.
    monkeypatch.setattr(contact_sheet, "_CLICK", 200)
    save_contact_sheet(tmp_path / "crowded.png", dataset, modality, refs, rows, pictures=1)
    crowded = cv2.imread(str(tmp_path / "crowded.png")).astype(int)
    title = contact_sheet._TITLE
    bare, _, untouched = np.array_split(crowded[title:], 3, axis=1)
    assert np.array_equal(bare, untouched)
    assert np.count_nonzero(crowded[:title] != sheets[1][:title])
