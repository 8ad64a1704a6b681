"""What a run trains on was verified, once."""

from __future__ import annotations

import logging
import os
import shutil

import pytest
import toys

from aims.core.errors import InputError
from aims.data import verified
from aims.data.read import Dataset
from aims.data.verified import require_verified
from helpers import file_digests

TRAIN = "data/train-00000-of-00001.parquet"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("verified") / "set", images=2, size=(24, 32)).folder


@pytest.fixture
def dataset(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    return Dataset.open(shutil.copytree(whole, tmp_path / "set"))


def images_read(dataset):
    """The number of images that are read to verify a set."""
    totals, read = [], []
    require_verified(dataset, on_total=totals.append, on_progress=read.append)
    assert totals in ([], [3])
    assert sum(read) == sum(totals)
    return sum(read)


def test_a_second_run_reads_nothing_and_nothing_is_written_to_the_set(dataset):
    before = file_digests(dataset.folder)
    assert [images_read(dataset), images_read(dataset)] == [3, 0]
    assert images_read(Dataset.open(dataset.folder)) == 0
    assert file_digests(dataset.folder) == before


def test_a_file_that_changed_is_read_again_even_with_its_old_time(dataset):
    assert images_read(dataset) == 3
    path = dataset.folder / TRAIN
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_mtime_ns == stat.st_mtime_ns
    said = rf"{TRAIN}: checksum differs .*; `aims verify {dataset.folder}` lists all, .*--trust"
    for _ in range(2):
        with pytest.raises(InputError, match=said):
            require_verified(dataset)


@pytest.mark.parametrize("change", ["a new shard", "no card", "another version"])
def test_what_else_calls_for_another_look(dataset, monkeypatch, change):
    assert images_read(dataset) == 3
    if change == "another version":
        monkeypatch.setattr(verified, "__version__", "99")
        assert images_read(dataset) == 3
        return
    if change == "no card":
        (dataset.folder / "README.md").unlink()
    else:
        shutil.copy(dataset.folder / TRAIN, dataset.folder / "data/more.parquet")
    with pytest.raises(InputError, match=r"README.md: missing|more.parquet: not listed"):
        require_verified(dataset)


def test_without_a_cache_folder_it_is_verified_each_time(dataset, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert [images_read(dataset), images_read(dataset)] == [3, 3]
    assert f"{dataset.folder} is verified for each run anew: {tmp_path / 'file'}" in caplog.text
