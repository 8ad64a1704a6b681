"""The galleries and what else stands behind a cell: chosen by rule, bounded, and escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import CODE, HARDWARE, AddRun

from aims.core.errors import AimsError
from aims.core.records import INSTANCES
from aims.data.read import Dataset
from aims.data.write import convert
from aims.reports.comparison.build import build_comparisons
from aims.reports.figures import gallery
from aims.reports.figures.gallery import Galleries, choose, draw_instance
from aims.reports.page.details import Detail, Details
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds
from helpers import MadeUp

WHITE, CYAN = (255, 255, 255), (0, 224, 255)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("gallery")
    (folder / "raw").mkdir()
    convert(MadeUp(raw=folder / "raw", images=12, size=(24, 32)), folder / "made-up")
    return Dataset.open(folder / "made-up")


def details(runs: Path, galleries: Galleries | None = None) -> list[Detail]:
    results, _ = pool_seeds(load_runs(runs)[0])
    return Details(build_comparisons(results), galleries or Galleries({}, 1)).all


def test_instances_are_chosen_at_even_steps_of_their_order(add_run: AddRun) -> None:
    ious = [k / 100 for k in range(101)]
    mixed = np.random.default_rng(0).permutation(ious).tolist()
    path = add_run({"image-1": mixed[:40], "image-2": mixed[40:]})
    rows, total = choose(path / INSTANCES, 5)
    assert total == 101
    assert [row["iou"] for row in rows] == [0.0, 0.25, 0.5, 0.75, 1.0]
    rows, _ = choose(path / INSTANCES, 500)
    assert [row["iou"] for row in rows] == ious


def test_masks_that_cannot_be_read_are_said(add_run: AddRun) -> None:
    path = add_run()
    data = (path / INSTANCES).read_bytes()
    (path / INSTANCES).write_bytes(data[: len(data) // 2])
    with pytest.raises(AimsError, match="not readable as the instances of a run"):
        choose(path / INSTANCES, 5)


@pytest.mark.parametrize(("results", "each", "galleries"), [(2, 9, 2), (4, 5, 4), (100, 3, 6)])
def test_a_page_has_so_many_pictures_at_most(
    runs: Path,
    add_run: AddRun,
    dataset: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    results: int,
    each: int,
    galleries: int,
) -> None:
    monkeypatch.setattr(gallery, "PICTURES_A_PAGE", 20)
    scored = {ref.image_id: [0.1, 0.2] for ref in dataset.index["test"]}
    add_run(scored, dataset=dataset.name, fingerprint=dataset.fingerprint, modality="signal")
    (result,), _ = pool_seeds(load_runs(runs)[0])
    drawing = Galleries({dataset.fingerprint: dataset}, results)
    found = [drawing.draw(result) for _ in range(min(results, galleries + 1))]
    assert [len(one.shots) for one in found if one] == [each] * galleries
    assert (None in found) == (results > galleries)


def test_without_the_dataset_there_is_no_gallery(runs: Path, add_run: AddRun, dataset: Dataset) -> None:
    add_run()
    (detail,) = details(runs, Galleries({dataset.fingerprint: dataset}, 1))
    assert detail.gallery is None


def test_a_picture_shows_what_lies_around_the_instance() -> None:
    base = np.full((100, 200, 3), 90, np.uint8)
    truth, predicted = np.zeros((2, 100, 200), bool)
    truth[40:60, 20:40] = True
    predicted[45:65, 25:45] = True
    shown = draw_instance(base, truth, predicted, (30.0, 50.0))
    # A window of 0.3 of the larger side, 60 pixels, enlarged to 176.
    assert shown.shape == (176, 176, 3)
    colours = {tuple(colour) for colour in shown.reshape(-1, 3).tolist()}
    assert {WHITE, CYAN, (0, 0, 0), (90, 90, 90)} <= colours
    # Rows 22 to 82 and columns 2 to 62: the left side of the truth lies at (20 - 2) * 176 / 60.
    column = np.flatnonzero((shown[88] == WHITE).all(-1))
    assert column.min() == pytest.approx(18 * 176 / 60, abs=2)
    assert (base == 90).all()


def test_a_picture_of_a_prediction_of_everything_is_the_whole() -> None:
    base = np.full((50, 100, 3), 90, np.uint8)
    truth, predicted = np.zeros((50, 100), bool), np.ones((50, 100), bool)
    truth[:3, :3] = True
    assert draw_instance(base, truth, predicted, (1.0, 1.0)).shape == (88, 176, 3)


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
