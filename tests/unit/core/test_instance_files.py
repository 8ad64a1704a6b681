"""The rows of instances.parquet are read within bounds, which its footer and then its batches keep."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aims.core import instance_files
from aims.core.errors import InputError
from aims.core.instance_files import read_batches


def written(folder, table, **options):
    path = folder / "instances.parquet"
    pq.write_table(table, path, **options)
    return path


def read(path, columns, **options):
    return pa.Table.from_batches(read_batches(path, columns, **options))


def test_the_columns_that_are_asked_for_in_their_order(tmp_path):
    path = written(tmp_path, pa.table({"a": [1, 2], "b": ["x", "y"], "c": [0.5, None]}), row_group_size=1)
    assert read(path, ["b", "a"], optional=["c", "d"]).to_pydict() == {
        "b": ["x", "y"],
        "a": [1, 2],
        "c": [0.5, None],
    }
    with pytest.raises(InputError, match="column 'd' is missing"):
        read(path, ["d"])


def test_a_file_without_rows(tmp_path):
    assert read(written(tmp_path, pa.table({"a": pa.array([], pa.int32())})), ["a"]).to_pydict() == {"a": []}


def test_rows_are_counted_before_any_is_read(tmp_path):
    path = written(tmp_path, pa.table({"a": pa.nulls(10, pa.string())}))
    assert len(read(path, ["a"], most=10)) == 10
    # A damaged page is found by who reads it.
    content = bytearray(path.read_bytes())
    content[4:20] = bytes(16)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="holds 10 rows, more than the 9 instances"):
        read(path, ["a"], most=9)


def test_one_long_value_for_all_rows_is_not_unpacked(tmp_path, monkeypatch):
    """A dictionary holds it once, and memory as often as there are rows."""
    monkeypatch.setattr(instance_files, "LARGEST", 1 << 20)
    monkeypatch.setattr(instance_files, "_AT_ONCE", 1 << 19)
    path = written(tmp_path, pa.table({"a": ["x" * 100_000] * 1000}), compression="zstd")
    assert path.stat().st_size < 10_000
    sizes = []
    with pytest.raises(InputError, match="no run's instances do"):
        sizes.extend(batch.nbytes for batch in read_batches(path, ["a"]))
    assert len(sizes) > 1
    assert sum(sizes) <= 1 << 20


def test_pages_that_unpack_to_more_than_is_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr(instance_files, "LARGEST", 1 << 20)
    table = pa.table({"a": [f"{number:09}" + "x" * 10_000 for number in range(200)]})
    with pytest.raises(InputError, match="no run's instances do"):
        read(written(tmp_path, table, compression="zstd"), ["a"])


def test_lists_of_any_length_in_one_row(tmp_path):
    path = written(tmp_path, pa.table({"a": [[0] * 100_000]}))
    with pytest.raises(InputError, match="more than 2 values a row"):
        read(path, ["a"])


def test_more_groups_than_any_writer_makes(tmp_path):
    path = written(tmp_path, pa.table({"a": range(2000)}), row_group_size=1)
    with pytest.raises(InputError, match="more than 1024 row groups"):
        read(path, ["a"])
