"""The instances that the page shows, and what else stands behind a cell: chosen by rule, and bounded."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from made_runs import CODE, HARDWARE, AddRun

from aims.core.errors import AimsError
from aims.core.records import INSTANCES
from aims.data.read import Dataset
from aims.data.write import convert
from aims.reports.comparison.build import build_comparisons
from aims.reports.comparison.table import Comparison
from aims.reports.figures import gallery
from aims.reports.figures.gallery import Galleries, choose, outline, window
from aims.reports.page.details import Detail, Details
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from helpers import MadeUp


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "raw").mkdir()
    convert(MadeUp(raw=folder / "raw", images=12, size=(24, 32)), folder / "made-up")
    return Dataset.open(folder / "made-up")


def tables(runs: Path) -> tuple[Comparison, ...]:
    results, _ = pool_seeds(load_runs(runs)[0])
    return tuple(build_comparisons(results))


def details(runs: Path) -> list[Detail]:
    return Details(tables(runs)).all


def filled(path: str, shape: tuple[int, int]) -> np.ndarray:
    """The pixels within an SVG path by the even-odd rule."""
    found = np.zeros(shape, bool)
    for start, steps in re.findall(r"M(\d+ \d+)([^z]*)z", path):
        points = [tuple(map(int, start.split()))]
        for kind, one, other in re.findall(r"([hvl])(-?\d+)(?: ?(-?\d+))?", steps):
            dx, dy = {"h": (one, 0), "v": (0, one), "l": (one, other)}[kind]
            points.append((points[-1][0] + int(dx), points[-1][1] + int(dy)))
        # At the centres of pixels: four times as large, in which they are at places 4 k + 2.
        drawn = np.zeros((4 * shape[0] + 1, 4 * shape[1] + 1), np.uint8)
        cv2.fillPoly(drawn, [4 * np.array(points)], 1)
        found ^= drawn[2::4, 2::4].astype(bool)
    return found


def test_an_outline_holds_the_pixels_of_a_mask() -> None:
    mask = np.zeros((12, 14), bool)
    mask[2:9, 3:11] = True
    mask[4:6, 5:8] = False
    mask[10, 12] = True
    assert (filled(outline(mask), mask.shape) == mask).all()
    assert outline(mask[:2]) == ""
    assert outline(np.ones((2, 3), bool)) == "M0 0v2h3v-2z"


def test_instances_are_chosen_at_even_steps_of_their_mean() -> None:
    one = {(f"image-{k}", 1): k / 100 for k in range(101)}
    other = {key: 1 - iou / 2 for key, iou in one.items()}
    images = {image_id: None for image_id, _ in one}
    keys, total = choose([one], images, 5)
    assert total == 101
    assert [one[key] for key in keys] == [0.0, 0.25, 0.5, 0.75, 1.0]
    # The mean rises with the first, as the second falls by half as much.
    assert choose([one, other], images, 5)[0] == keys
    assert len(choose([one], images, 500)[0]) == 101
    # Those that all have scored, of images that are there.
    del other["image-0", 1], images["image-100"]
    assert choose([one, other], images, 2) == ([("image-1", 1), ("image-99", 1)], 99)
    assert choose([one, {}], images, 5) == ([], 0)


def test_a_gallery_shows_every_row_on_the_same_instances(
    runs: Path, add_run: AddRun, dataset: Dataset
) -> None:
    scored = {
        ref.image_id: [0.1 + 0.8 * k / 12] * int(dataset.read(ref, ("signal",)).instances.max())
        for k, ref in enumerate(dataset.index["test"])
    }
    place = {"dataset": dataset.name, "fingerprint": dataset.fingerprint, "modality": "signal"}
    add_run(scored, **place)
    add_run({name: [iou / 2 for iou in ious] for name, ious in scored.items()}, method="linear", **place)
    add_run(0.3, method="disc", tuning="none")
    found = tables(runs)
    table = next(table for table in found if table.fingerprint == dataset.fingerprint)
    (drawn,) = Galleries({dataset.fingerprint: dataset}, found).draw(table)
    assert (drawn.modality, drawn.stream) == ("signal", "signal")
    means = [shot.mean_iou for shot in drawn.instances]
    assert means == sorted(means)
    assert len({shot.id for shot in drawn.instances}) == len(drawn.instances)
    for shot in drawn.instances:
        by_row = {table.rows[mask.place].method: mask.iou for mask in shot.masks}
        assert by_row["linear"] == pytest.approx(by_row["simcmf"] / 2)
        assert shot.mean_iou == pytest.approx(0.75 * by_row["simcmf"])
        assert shot.class_name in dataset.spec.classes
        truth = filled(shot.truth, (shot.height, shot.width))
        assert truth.any()
    middle = drawn.instances[drawn.typical]
    assert means[0] < middle.mean_iou < means[-1]
    # Another dataset's table has none.
    (other,) = [one for one in found if one is not table]
    assert Galleries({dataset.fingerprint: dataset}, found).draw(other) == ()


def test_masks_that_cannot_be_read_are_said(runs: Path, add_run: AddRun, dataset: Dataset) -> None:
    scored = {ref.image_id: [0.1] for ref in dataset.index["test"]}
    path = add_run(scored, dataset=dataset.name, fingerprint=dataset.fingerprint, modality="signal")
    found = tables(runs)
    data = (path / INSTANCES).read_bytes()
    (path / INSTANCES).write_bytes(data[: len(data) // 2])
    with pytest.raises(AimsError, match="not readable as the instances of a run"):
        Galleries({dataset.fingerprint: dataset}, found).draw(found[0])


@pytest.mark.parametrize(("masks", "instances"), [(1000, 4), (3, 3), (1, 2)])
def test_a_page_has_so_many_masks_at_most(
    runs: Path,
    add_run: AddRun,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    masks: int,
    instances: int,
) -> None:
    monkeypatch.setattr(gallery, "MASKS_A_PAGE", masks)
    monkeypatch.setattr(gallery, "FEWEST", 2)
    monkeypatch.setattr(gallery, "MOST", 4)
    scored = {ref.image_id: [0.1, 0.2] for ref in dataset.index["test"]}
    add_run(scored, dataset=dataset.name, fingerprint=dataset.fingerprint, modality="signal")
    found = tables(runs)
    (drawn,) = Galleries({dataset.fingerprint: dataset}, found).draw(found[0])
    assert len(drawn.instances) == instances


def test_a_crop_is_a_square_around_the_instance_within_the_image() -> None:
    mask = np.zeros((100, 200), bool)
    mask[40:60, 20:40] = True
    # 0.3 of the larger side: 60 pixels around the middle, moved into the image.
    assert window(mask) == (20, 80, 0, 60)
    mask[:, :] = True
    assert window(mask) == (0, 100, 0, 200)
    assert window(np.zeros((5, 7), bool)) == (0, 5, 0, 7)


def test_a_result_of_several_tables_has_its_details_once(runs: Path, add_run: AddRun) -> None:
    add_run()
    add_run(weights="random", tuning="full")
    add_run(method="scratch")
    found = details(runs)
    # Scratch stands beside either start.
    assert sorted(detail.heading for detail in found) == [
        *("scratch, full: nir", "simcmf, full: nir", "simcmf, lora: nir")
    ]
    assert len({detail.key for detail in found}) == 3


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["/opt/x/aims/__main__.py", "run", "--data", "/home/me/aims"], "aims run --data …/aims"),
        (["/usr/bin/aims", "run", "--data=/home/me/my sets"], "aims run --data=…/'my sets'"),
        (["C:\\bin\\aims.exe", "run", "--data", "D:\\sets\\nyu"], "aims.exe run --data …/nyu"),
        (["aims", "run", "--runs", "~/runs", "--lr", "1e-3"], "aims run --runs …/runs --lr 1e-3"),
        (["aims", "run", "--data", "data/aims"], "aims run --data data/aims"),
        ([], None),
    ],
)
def test_a_command_does_not_tell_where_things_lay(
    runs: Path, add_run: AddRun, command: Any, shown: str | None
) -> None:
    add_run(record={"command": command})
    (detail,) = details(runs)
    assert dict(detail.provenance).get("command", (None,))[0] == shown


def test_provenance_says_everything_once(runs: Path, add_run: AddRun) -> None:
    record = {"code": CODE, "hardware": HARDWARE}
    add_run(record=record)
    add_run(record={**record, "code": {**CODE, "commit": "decaf"}}, seed=1)
    add_run(seed=2)
    (detail,) = details(runs)
    said = dict(detail.provenance)
    assert said["commit"] == ("c0ffee", "decaf")
    assert said["versions"] == ("AIMS 1, torch 2, Python 3.12.1",)
    assert said["hardware"] == ("a processor, cpu, 4 threads",)
    assert "licence" not in said
    assert ("seed", "3 seeds: 0, 1, 2") in detail.settings
    assert [line[3] for line in detail.runs] == ["0", "1", "2"]
