from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from refusals import refused

from aims.core.errors import AimsError, InputError
from aims.core.schema import SampleError
from aims.data.manifest import DroppedLine
from aims.data.read import Dataset, find_datasets
from aims.data.verify import verify_dataset
from aims.data.write import convert
from helpers import DTYPES, Known, MadeUp

# Its images are numbered, and grouped, from 0 in each split.
GROUPS = (
    "2 groups have images in several splits, which are then not independent: scene0 (train, test), "
    "scene1 (train, test)"
)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def reads(raw):
    return (raw / "reads.log").read_text().split()


def test_every_dtype_comes_back(raw, tmp_path):
    converter = MadeUp(raw=raw, dtypes=DTYPES, images=14, channels=5)
    convert(converter, tmp_path / "set", rows_per_shard=4)
    dataset = Dataset.open(tmp_path / "set")
    seen = set()
    for split, refs in dataset.index.items():
        for ref in refs:
            image = dataset.read(ref, ("signal",))
            expected = converter.read(split, ref.image_id)
            seen.add(image.streams["signal"].dtype.name)
            assert image.streams["signal"].dtype == expected.streams["signal"].dtype
            np.testing.assert_array_equal(image.streams["signal"], expected.streams["signal"])
            assert image.group == expected.group
            np.testing.assert_array_equal(image.instances > 0, expected.labels.class_map > 0)
    assert seen == set(DTYPES)
    assert [ref.image_id for ref in dataset.index["test"]] == [f"b{i:03d}" for i in range(7)]


def test_large_pictures_are_written_without_copies(raw, tmp_path, monkeypatch):
    converter = MadeUp(raw=raw, dtypes=DTYPES, images=14, channels=5)
    usual = convert(converter, tmp_path / "usual").manifest
    for place in ("shards", "read"):
        monkeypatch.setattr(f"aims.data.{place}.LARGE_CELL_BYTES", 1)
    monkeypatch.setattr("aims.data.shards._ROW_GROUP_BYTES", 1)
    large = convert(converter, tmp_path / "large").manifest
    assert (large.fingerprint, large.splits) == (usual.fingerprint, usual.splits)
    assert verify_dataset(tmp_path / "large") == []
    dataset = Dataset.open(tmp_path / "large")
    for ref in dataset.index["test"]:
        stored = dataset.read(ref, ("signal",)).streams["signal"]
        np.testing.assert_array_equal(stored, converter.read("test", ref.image_id).streams["signal"])
    column = pq.ParquetFile(tmp_path / "large" / next(iter(large.files))).metadata.row_group(0).column(0)
    assert (column.compression, column.statistics) == ("UNCOMPRESSED", None)


def test_out_of_memory_names_the_image(raw, tmp_path, monkeypatch):
    def encode(*args):
        raise MemoryError

    monkeypatch.setattr("aims.data.shards.encode_row", encode)
    with refused(AimsError, "a000: out of memory; what was finished is kept"):
        convert(MadeUp(raw=raw), tmp_path / "set", keep_going=True)


def test_bytes_do_not_depend_on_jobs_place_or_time(raw, tmp_path):
    (raw / "a000.txt").write_text("source")
    results = []
    for name, jobs in (("one", 1), ("elsewhere/two", 2), ("three", 3)):
        converter = MadeUp(raw=raw, broken=("a003", "b001"), blank=("a005",))
        convert(converter, tmp_path / name, jobs=jobs, keep_going=True, rows_per_shard=3)
        results.append(files(tmp_path / name))
    assert results[0] == results[1] == results[2]
    assert len([name for name in results[0] if name.startswith("data/")]) == 6
    assert sorted(name for name in results[0] if not name.startswith("data/")) == [
        "README.md",
        "aims.json",
        "dropped.jsonl",
    ]


def test_manifest_and_dropped_tell_everything(raw, tmp_path):
    (raw / "a000.txt").write_text("source")
    converter = MadeUp(raw=raw, broken=("a003",), blank=("a005", "b002"))
    result = convert(converter, tmp_path / "set", keep_going=True)
    manifest = json.loads((tmp_path / "set" / "aims.json").read_text())
    assert manifest == result.manifest.as_json()
    assert manifest["sources"] == {"a000.txt": hashlib.sha256(b"source").hexdigest()}
    assert manifest["dropped"] == {"no instance": 2, "unreadable": 1}
    assert manifest["splits"]["train"]["images"] == 10
    assert manifest["dataset"]["streams"]["signal"]["unit"] == "V"
    lines = [json.loads(line) for line in (tmp_path / "set" / "dropped.jsonl").read_text().splitlines()]
    nothing = {"kind": "no instance", "reason": "the labels hold no instance"}
    assert lines == [
        {"split": "train", "image_id": "a003", "kind": "unreadable", "reason": "a003: truncated"},
        {"split": "train", "image_id": "a005", **nothing},
        {"split": "test", "image_id": "b002", **nothing},
    ]
    assert verify_dataset(tmp_path / "set") == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_stops_at_a_broken_image_and_keeps_what_is_finished(raw, tmp_path, jobs):
    broken = MadeUp(raw=raw, broken=("a010",))
    with pytest.raises(SampleError, match="a010: truncated"):
        convert(broken, tmp_path / "set", jobs=jobs, rows_per_shard=3)
    assert not (tmp_path / "set").exists()
    first = reads(raw)
    # Mended and called again: the finished shards are not read again.
    convert(MadeUp(raw=raw), tmp_path / "set", jobs=jobs, rows_per_shard=3)
    again = reads(raw)[len(first) :]
    assert "a000" not in again
    assert "a010" in again
    (raw / "reads.log").unlink()
    convert(MadeUp(raw=raw), tmp_path / "whole", rows_per_shard=3)
    assert files(tmp_path / "set") == files(tmp_path / "whole")


def test_keep_going_does_not_hide_a_broken_image_from_a_later_call(raw, tmp_path):
    converter = MadeUp(raw=raw, broken=("a001",), die_at="b000")
    call = f"""
from dataclasses import replace
from pathlib import Path
from helpers import MadeUp
from aims.data.write import convert
converter = MadeUp(raw=Path({str(raw)!r}), broken=("a001",), die_at="b000")
convert(converter, Path({str(tmp_path / "set")!r}), keep_going=True)
"""
    run_until_killed(call)
    with pytest.raises(SampleError, match="a001"):
        convert(converter, tmp_path / "set")


# The first and last image, and either one of a shard.
@pytest.mark.parametrize("image", ["a000", "a004", "a005", "b005"])
def test_killed_at_any_image_it_goes_on_with_the_same_bytes(raw, tmp_path, image):
    target = tmp_path / "set"
    call = f"""
from dataclasses import replace
from pathlib import Path
from helpers import MadeUp
from aims.data.write import convert
convert(MadeUp(raw=Path({str(raw)!r}), die_at={image!r}), Path({str(target)!r}), rows_per_shard=2)
"""
    run_until_killed(call)
    assert not target.exists()
    whole = {path.name for path in (tmp_path / "set.partial" / "data").glob("*.parquet")}
    before = reads(raw) if (raw / "reads.log").exists() else []
    convert(MadeUp(raw=raw), target, rows_per_shard=2)
    again = reads(raw)[len(before) :]
    finished = 2 * len(whole)
    assert len(again) == 18 - finished
    convert(MadeUp(raw=raw), tmp_path / "unbroken", rows_per_shard=2)
    assert files(target) == files(tmp_path / "unbroken")


def test_a_dataset_that_another_process_finished_meanwhile_is_kept(raw, tmp_path):
    target, begun = tmp_path / "set", []

    def finish(total: int) -> None:
        if not begun:
            begun.append(total)
            convert(MadeUp(raw=raw), target)

    found = convert(MadeUp(raw=raw), target, on_total=finish)
    assert found.already_there
    assert len(reads(raw)) == 18
    begun.clear()
    other = MadeUp(raw=raw, images=4)
    with refused(InputError, "set: holds a dataset from another source"):
        convert(other, tmp_path / "set", on_total=finish)
    (tmp_path / "set").rename(tmp_path / "kept")
    with refused(InputError, "set: holds a dataset from another source"):
        convert(other, target, on_total=finish)
    assert files(target) == files(tmp_path / "kept")
    assert not (tmp_path / "set.partial").exists()


def test_killed_while_the_folder_gets_its_name(raw, tmp_path):
    call = f"""
import os, signal
from dataclasses import replace
from pathlib import Path
from helpers import MadeUp
import aims.data.write as write
write.sync = lambda path: os.kill(os.getpid(), signal.SIGKILL)
write.convert(MadeUp(raw=Path({str(raw)!r})), Path({str(tmp_path / "set")!r}))
"""
    run_until_killed(call)
    assert (tmp_path / "set.partial" / "aims.json").exists()
    with pytest.raises(InputError, match="no AIMS dataset here"):
        find_datasets(tmp_path)
    before = reads(raw)
    convert(MadeUp(raw=raw), tmp_path / "set")
    assert reads(raw) == before
    assert sorted(files(tmp_path / "set")) == [
        "README.md",
        "aims.json",
        "data/test-00000-of-00001.parquet",
        "data/train-00000-of-00001.parquet",
        "dropped.jsonl",
    ]
    assert [dataset.name for dataset in find_datasets(tmp_path)] == ["made-up"]
    assert verify_dataset(tmp_path / "set") == []


@pytest.mark.parametrize("image_id", ["a000", "a011"])
def test_a_killed_worker_is_replaced(raw, tmp_path, image_id, caplog):
    convert(MadeUp(raw=raw, die_at=image_id), tmp_path / "set", jobs=2, rows_per_shard=2)
    assert "a worker process was killed" in caplog.text
    assert (raw / "died").exists()
    convert(MadeUp(raw=raw), tmp_path / "whole", rows_per_shard=2)
    assert files(tmp_path / "set") == files(tmp_path / "whole")
    # No image is doubled or lost in the dataset; finished shards were not read again.
    assert verify_dataset(tmp_path / "set") == []


@pytest.mark.thorough
def test_a_worker_that_always_dies_ends_with_an_error_and_nothing_is_lost(raw, tmp_path):
    with pytest.raises(AimsError, match=r"killed 4 times in a row .* train-00003-of-00006.parquet"):
        convert(MadeUp(raw=raw, die_at="a006", deaths=99), tmp_path / "set", jobs=2, rows_per_shard=2)
    before = reads(raw)
    convert(MadeUp(raw=raw), tmp_path / "set", jobs=2, rows_per_shard=2)
    # All other shards were there.
    assert sorted(reads(raw)[len(before) :]) == ["a006", "a007"]
    convert(MadeUp(raw=raw), tmp_path / "whole", rows_per_shard=2)
    assert files(tmp_path / "set") == files(tmp_path / "whole")


def test_counts_of_the_published_set(raw, tmp_path):
    warnings = []
    converter = Known(raw=raw, images=12)
    with pytest.raises(InputError, match=r"split 'train': 12, as published: 1,500; .*strict"):
        convert(converter, tmp_path / "set", strict_counts=True)
    assert not (raw / "reads.log").exists()
    made = convert(converter, tmp_path / "set", on_warning=warnings.append)
    # The six of test and the one that is left out make seven, as published; val is not there at all.
    assert warnings == [
        "images in split 'train': 12, as published: 1,500",
        "images in split 'val': 0, as published: 3",
        "images in all splits: 19, as published: 1,510",
        GROUPS,
    ]
    assert made.manifest.warnings == tuple(warnings)
    assert made.manifest.dropped == {"unusable": 1}
    assert made.dropped == [
        DroppedLine(split="test", image_id="b099", kind="unusable", reason="broken as published")
    ]
    assert "Note: images in split 'val': 0, as" in (tmp_path / "set" / "README.md").read_text()
    assert verify_dataset(tmp_path / "set") == []
    # A set that is not a published one promises nothing.
    assert convert(MadeUp(raw=raw), tmp_path / "own", strict_counts=True).manifest.warnings == (GROUPS,)


def test_labelled_objects_that_do_not_fit_are_listed(raw, tmp_path):
    made = convert(Known(raw=raw, covered="a003"), tmp_path / "set")
    line = DroppedLine(split="train", image_id="a003", kind="object", reason="object 7 is wholly covered")
    assert line in made.dropped
    assert made.manifest.dropped == {"object": 1, "unusable": 1}
    assert "1 image, 1 labelled object, listed" in (tmp_path / "set" / "README.md").read_text()
    assert verify_dataset(tmp_path / "set") == []


def test_engines_by_name(raw, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"needs Ray: pip install 'aims-bench\[ray\]'"):
        convert(MadeUp(raw=raw), tmp_path / "set", engine="ray")
    with pytest.raises(InputError, match='engine \'dask\': use "local" or "ray"'):
        convert(MadeUp(raw=raw), tmp_path / "set", engine="dask")
    with pytest.raises(InputError, match="--jobs does not go with --engine ray"):
        convert(MadeUp(raw=raw), tmp_path / "set", engine="ray", jobs=2)


def test_only_what_changed_is_read_again(raw, tmp_path):
    with pytest.raises(SampleError):
        convert(MadeUp(raw=raw, broken=("b000",)), tmp_path / "set", rows_per_shard=2)
    (raw / "a003.txt").write_text("now there")
    (raw / "reads.log").unlink()
    convert(MadeUp(raw=raw), tmp_path / "set", rows_per_shard=2)
    # The shard of the changed image, and those that were not written yet.
    assert reads(raw) == ["a002", "a003", *(f"b{i:03d}" for i in range(6))]
    convert(MadeUp(raw=raw), tmp_path / "whole", rows_per_shard=2)
    assert files(tmp_path / "set") == files(tmp_path / "whole")


def test_a_changed_table_starts_afresh(raw, tmp_path):
    (raw / "table.txt").write_text("old")
    with pytest.raises(SampleError):
        convert(MadeUp(raw=raw, broken=("b000",)), tmp_path / "set", rows_per_shard=2)
    (raw / "table.txt").write_text("a new one")
    (raw / "reads.log").unlink()
    convert(MadeUp(raw=raw), tmp_path / "set", rows_per_shard=2)
    assert len(reads(raw)) == 18


def test_names_that_are_no_text(raw, tmp_path):
    with pytest.raises(InputError, match=r"a000: group 'scene0\\udcff' is not valid Unicode"):
        convert(MadeUp(raw=raw, suffix="\udcff"), tmp_path / "set")


def test_answers_from_a_finished_conversion_and_never_overwrites(raw, tmp_path):
    (raw / "a000.txt").write_text("source")
    convert(MadeUp(raw=raw), tmp_path / "set")
    (raw / "reads.log").unlink()
    assert convert(MadeUp(raw=raw), tmp_path / "set").already_there
    assert not (raw / "reads.log").exists()
    with pytest.raises(InputError, match="another source or other options"):
        convert(MadeUp(raw=raw, images=10), tmp_path / "set")
    (raw / "a000.txt").write_text("SOURCE")
    with pytest.raises(InputError, match="--overwrite"):
        convert(MadeUp(raw=raw), tmp_path / "set")
    assert not convert(MadeUp(raw=raw), tmp_path / "set", overwrite=True).already_there
    assert verify_dataset(tmp_path / "set") == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="no AIMS dataset"):
            convert(MadeUp(raw=raw), tmp_path / "mine", overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"


def test_overwriting_survives_a_stop_while_the_old_one_is_removed(raw, tmp_path):
    convert(MadeUp(raw=raw), tmp_path / "set")
    (tmp_path / ".set.replaced" / "data").mkdir(parents=True)
    convert(MadeUp(raw=raw, images=4), tmp_path / "set", overwrite=True)
    assert verify_dataset(tmp_path / "set") == []
    assert not (tmp_path / ".set.replaced").exists()


def test_a_damaged_manifest_is_named(raw, tmp_path):
    convert(MadeUp(raw=raw), tmp_path / "set")
    (tmp_path / "set" / "aims.json").write_text("[]")
    with pytest.raises(InputError, match="not a manifest"):
        convert(MadeUp(raw=raw), tmp_path / "set")


def test_nothing_left_is_an_error(raw, tmp_path):
    blank = tuple(f"{letter}{i:03d}" for letter in "ab" for i in range(12))
    with pytest.raises(InputError, match="no image is left"):
        convert(MadeUp(raw=raw, blank=blank), tmp_path / "set")


def test_other_programs_read_it_without_aims(raw, tmp_path):
    convert(MadeUp(raw=raw, dtypes=DTYPES, rgb=True), tmp_path / "set", rows_per_shard=5)
    check = """
import sys
sys.modules["aims"] = None  # importing aims now fails
import datasets, numpy as np, pandas as pd
from dataclasses import replace
from pathlib import Path
folder, cache = sys.argv[1:]
def array(stream):
    return np.frombuffer(stream["data"], np.dtype(stream["dtype"]).newbyteorder("<")).reshape(stream["shape"])
loaded = datasets.load_dataset(folder, cache_dir=cache)
assert {split: len(part) for split, part in loaded.items()} == {"train": 12, "test": 6}
row = loaded["train"][1]
assert row["image_id"] == "a001", row["image_id"]
assert array(row["signal"]).dtype == np.uint16 and array(row["signal"]).shape == (24, 32, 2)
ids = np.asarray(row["instances"])
assert ids.shape == (24, 32) and ids.max() == len(row["objects"])
x, y = row["objects"][0]["click_strict"]
assert ids[y, x] == 1
assert row["rgb"].size == (32, 24)
assert type(loaded["train"].features["rgb"]).__name__ == "Image"
frame = pd.concat(pd.read_parquet(path) for path in sorted(Path(folder, "data").glob("train-*")))
assert list(frame.image_id)[:2] == ["a000", "a001"]
assert (array(frame.signal.iloc[1]) == array(row["signal"])).all()
try:
    import aims
except ImportError:
    print("read without aims")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", check, str(tmp_path / "set"), str(tmp_path / "cache")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "read without aims" in done.stdout, done.stderr


def run_until_killed(program):
    path = {"PYTHONPATH": str(Path(__file__).parents[2])}
    assert subprocess.run([sys.executable, "-c", program], env={**os.environ, **path}).returncode == -9


class Twins(MadeUp):
    """The first test picture is the first of train, with other labels."""

    def read(self, split, image_id):
        sample = super().read(split, image_id)
        other = super().read("train", "a000")
        return replace(sample, streams=other.streams, rgb=other.rgb) if image_id == "b000" else sample


def test_a_picture_in_two_splits_is_named_before_a_run_refuses_it(raw, tmp_path):
    warned = []
    convert(Twins(raw=raw, images=4), tmp_path / "set", rows_per_shard=1, on_warning=warned.append)
    line = "a picture is in several splits, which `aims run` refuses: a000 of train is b000 of test"
    assert line in warned
    assert line in Dataset.open(tmp_path / "set").manifest.warnings
    assert any("the same picture as" in problem.message for problem in verify_dataset(tmp_path / "set"))
