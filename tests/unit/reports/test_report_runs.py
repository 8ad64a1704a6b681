import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_runs import AddRun, edit_record, instance_row

from aims.core.errors import InputError
from aims.core.records import INSTANCE_SCHEMA, INSTANCES, RECORD, RUN_VERSION
from aims.reports.runs.load import load_runs
from aims.reports.runs.results import pool_seeds


def reasons(runs: Path) -> dict[str, str]:
    return {item.folder: item.reason for item in load_runs(runs)[1]}


def only_reason(runs: Path, folder: Path) -> str:
    """The reason for the only folder that is left out; a good run beside it must survive."""
    found = reasons(runs)
    assert list(found) == [folder.name]
    assert len(load_runs(runs)[0]) == 1
    return found[folder.name]


@pytest.fixture
def bad(add_run: AddRun) -> Path:
    """A run to spoil, beside a good one."""
    add_run(seed=7)
    return add_run()


def test_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_runs(tmp_path / "none")


def test_scores_and_counts_by_image(runs: Path, add_run: AddRun) -> None:
    add_run({"b": [0.9], "a": [0.2, 0.4]}, val_miou=0.3)

    loaded, left_out = load_runs(runs)

    assert left_out == []
    assert loaded[0].sums.tolist() == pytest.approx([0.6, 0.9])
    assert loaded[0].counts.tolist() == [2, 1]
    assert loaded[0].miou == pytest.approx(0.5)
    assert loaded[0].val_miou == 0.3


@pytest.mark.parametrize("status", ["running", "failed"])
def test_unfinished(runs: Path, bad: Path, status: str) -> None:
    edit_record(bad, status=status)
    assert f"is {status}, not finished" in only_reason(runs, bad)


def test_newer_version(runs: Path, bad: Path) -> None:
    edit_record(bad, version=RUN_VERSION + 1)
    assert "update AIMS" in only_reason(runs, bad)


def test_truncated_record(runs: Path, bad: Path) -> None:
    text = (bad / RECORD).read_text()
    (bad / RECORD).write_text(text[: len(text) // 2])
    assert "not readable as JSON" in only_reason(runs, bad)


def test_folder_without_record(runs: Path, bad: Path) -> None:
    (bad / RECORD).unlink()
    assert "no such file" in only_reason(runs, bad)


def test_missing_instances(runs: Path, bad: Path) -> None:
    (bad / INSTANCES).unlink()
    assert "no such file; the run is not complete" in only_reason(runs, bad)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.99])
def test_truncated_instances(runs: Path, bad: Path, part: float) -> None:
    data = (bad / INSTANCES).read_bytes()
    (bad / INSTANCES).write_bytes(data[: int(len(data) * part)])
    assert "not readable as the instances" in only_reason(runs, bad)


def test_count_differs(runs: Path, bad: Path) -> None:
    edit_record(bad, scores={"instances": 4})
    assert "holds 3 instances, run.json says 4" in only_reason(runs, bad)


def test_mean_differs(runs: Path, bad: Path) -> None:
    edit_record(bad, scores={"miou": 0.5 + 1e-8})
    assert "run.json says 0.50000001" in only_reason(runs, bad)


@pytest.mark.parametrize("value", [None, "0.5", True, float("nan"), -0.1, 50.0])
def test_miou_is_no_score(runs: Path, bad: Path, value: Any) -> None:
    edit_record(bad, scores={"miou": value})
    reason = only_reason(runs, bad)
    assert "run.json" in reason
    assert "scores.miou" in reason or value != value


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": 5},
        {"dataset": ""},
        {"modality": "two\nlines"},
        {"method": "\u200e"},
        {"epochs": 1.5},
        {"seed": True},
        {"lr": 10**400},
    ],
)
def test_configuration_of_wrong_types(runs: Path, bad: Path, change: dict[str, Any]) -> None:
    edit_record(bad, config=change)
    assert next(iter(change)) in only_reason(runs, bad)


def test_scratch_from_pretrained_weights(runs: Path, bad: Path) -> None:
    edit_record(bad, config={"method": "scratch"})
    assert "scratch run starts from random weights" in only_reason(runs, bad)


def test_column_is_missing(runs: Path, bad: Path) -> None:
    pq.write_table(pq.read_table(bad / INSTANCES).drop_columns(["iou"]), bad / INSTANCES)
    assert "column 'iou' is missing" in only_reason(runs, bad)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no instances"),
        ([("a", 1, None)], "is missing"),
        ([("a", 1, float("nan"))], "not a number from 0 to 1"),
        ([("a", 1, 1.5)], "not a number from 0 to 1"),
        ([("a", 1, 0.5), ("a", 1, 0.5)], "instance 1 of image 'a' twice"),
    ],
)
def test_instances_are_wrong(runs: Path, bad: Path, rows: list[Any], message: str) -> None:
    table = pa.Table.from_pylist([instance_row(*row) for row in rows], schema=INSTANCE_SCHEMA)
    pq.write_table(table, bad / INSTANCES)
    edit_record(bad, scores={"instances": len(rows), "miou": 0.5})
    assert message in only_reason(runs, bad)


@pytest.mark.parametrize("size", [[1024, 0], [1024, None], None])
def test_sizes_of_images_are_wrong(runs: Path, bad: Path, size: list[int | None] | None) -> None:
    # Rows of an earlier version lack `pixels`; where clicks lie on the image, its size stands for them.
    rows = [instance_row("a", number, 0.5) for number in (1, 2)]
    rows[1]["click_size"] = size
    pq.write_table(pa.Table.from_pylist(rows, schema=INSTANCE_SCHEMA), bad / INSTANCES)
    edit_record(bad, scores={"instances": 2, "miou": 0.5})
    assert "a click_size is not a height and a width" in only_reason(runs, bad)


def test_wider_numbers_and_indexed_names_are_read(runs: Path, add_run: AddRun) -> None:
    path = add_run({"b": [0.9], "a": [0.2, 0.4]})
    table = pq.read_table(path / INSTANCES)
    wide = {"area": pa.int32(), "instance_id": pa.int16(), "image_id": pa.dictionary(pa.int32(), pa.string())}
    for name, kind in wide.items():
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(kind))
    pq.write_table(table, path / INSTANCES, row_group_size=2)
    (run,), left_out = load_runs(runs)
    assert left_out == []
    assert (run.groups, run.sums.tolist()) == (("a", "b"), pytest.approx([0.6, 0.9]))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (("1134", 1), None),
        (("1134", 1, "1134", 2, "1134", 1, "1134", 2), None),
        (("1134", 1, "1134", 2) * 3, None),
        (("1134", 1, "1134", 2) * 4, "instance 1 of image '1134' 4 times"),
        (("1134", 1, "1134", 2, "1134", 1), "instance 2 of image '1134' once, others more often"),
        (("1134", 1, "7", 2, "1134", 1, "7", 2), "instance 2 of image '7' twice"),
    ],
)
def test_an_image_that_stands_in_for_broken_ones_comes_again(
    runs: Path, add_run: AddRun, keys: tuple[Any, ...], message: str | None
) -> None:
    add_run(seed=7)
    path = add_run(dataset="nyuv2", modality="depth", protocol="paper")
    rows = [instance_row(image, number, 0.5) for image, number in zip(keys[::2], keys[1::2], strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, schema=INSTANCE_SCHEMA), path / INSTANCES)
    edit_record(path, scores={"instances": len(rows), "miou": 0.5})
    if message:
        assert message in only_reason(runs, path)
    else:
        # By place: as many as the split holds.
        assert [int(run.counts.sum()) for run in load_runs(runs)[0]] == [3, len(rows)]
    # Nothing stands in for anything under `strict`.
    edit_record(path, config={"protocol": "strict"})
    assert list(reasons(runs)) == ([path.name] if len(rows) > 1 else [])


def test_double_is_left_out_and_the_named_folder_stays(runs: Path, add_run: AddRun) -> None:
    path = add_run()
    shutil.copytree(path, runs / "a-copy")

    loaded, left_out = load_runs(runs)

    assert [run.folder for run in loaded] == [path.name]
    assert [item.folder for item in left_out] == ["a-copy"]
    assert f"same configuration as {path.name}" in left_out[0].reason


def test_copy_stands_in_for_a_broken_run(runs: Path, add_run: AddRun) -> None:
    path = add_run()
    shutil.copytree(path, runs / "a-copy")
    (path / INSTANCES).unlink()

    assert [run.folder for run in load_runs(runs)[0]] == ["a-copy"]


def test_seeds_are_averaged_per_image(runs: Path, add_run: AddRun) -> None:
    add_run({"a": [0.2, 0.4], "b": [0.9]}, seed=2, val_miou=0.3)
    add_run({"a": [0.4, 0.6], "b": [0.5]}, seed=0, val_miou=0.5)

    (result,), left_out = pool_seeds(load_runs(runs)[0])

    # Per image: (0.6 + 1.0) / 2 = 0.8 over two instances, (0.9 + 0.5) / 2 = 0.7 over one; 1.5 / 3 = 0.5.
    # Resamples of two images: (a, a) 0.4, (a, b) 0.5, (b, b) 0.7.
    assert left_out == []
    assert result.seeds == (0, 2)
    assert result.miou == pytest.approx(0.5)
    assert result.interval == pytest.approx((0.4, 0.7))
    assert result.val_miou == pytest.approx(0.4)
    assert (result.instances, result.images) == (3, 2)


def test_validation_score_needs_every_seed(runs: Path, add_run: AddRun) -> None:
    add_run(seed=0, val_miou=0.3)
    add_run(seed=1)

    assert pool_seeds(load_runs(runs)[0])[0][0].val_miou is None


@pytest.mark.parametrize(
    "other", [{"image-1": [0.2, 0.4], "image-3": [0.9]}, {"image-1": [0.2], "image-2": [0.9, 0.4]}]
)
def test_seeds_with_other_instances_are_refused(
    runs: Path, add_run: AddRun, other: dict[str, list[float]]
) -> None:
    add_run(seed=0)
    add_run(other, seed=1)

    results, left_out = pool_seeds(load_runs(runs)[0])

    assert results == []
    assert len(left_out) == 2
    assert "scored different test instances" in left_out[0].reason


def test_only_the_seed_is_pooled(runs: Path, add_run: AddRun) -> None:
    for change in ({}, {"seed": 1}, {"lr": 1e-4}, {"epochs": 5}, {"precision": "bf16"}, {"batch_size": 2}):
        add_run(**change)
    for change in ({"loss": "sam"}, {"tuning": "full"}, {"fingerprint": "f2" * 32}, {"limit": 2}):
        add_run(**change)

    results, _ = pool_seeds(load_runs(runs)[0])

    assert sorted(len(result.seeds) for result in results) == [1] * 8 + [2]
