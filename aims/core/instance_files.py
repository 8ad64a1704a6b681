"""Reading instances.parquet of a run, which others may have written, within bounds.

The footer is checked before any row is read: a column of nulls, or of one value, takes no space in a file and
any in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from aims.core.errors import InputError
from aims.core.files import own_file

#: Largest number of rows where the dataset, which has the true number, is not at hand.
MOST_ROWS = 1 << 21
#: Limit of the rows in memory, in bytes, and of what the file unpacks to.
LARGEST = 4 << 30

# Most row groups and columns that are looked at; `aims run` writes one group for a million rows.
_MOST_PARTS = 1 << 10
# Bytes that the rows of one batch can take at most, if every value is as long as its whole column.
_AT_ONCE = 1 << 30
_SMALL_BYTES = 200_000
# Most values of a row in a column: the lists of a row are pairs.
_VALUES = 2


def read_batches(
    path: Path, columns: Sequence[str], *, optional: Sequence[str] = (), most: int = MOST_ROWS
) -> Iterator[pa.RecordBatch]:
    """Reads columns of instances.parquet in batches; without rows there is one empty batch.

    Args:
        path: the file.
        columns: names of the columns, which must exist.
        optional: names of columns that files of earlier versions lack.
        most: largest number of rows.

    Raises:
        InputError: the file is missing, is no Parquet, lacks a column, or exceeds a bound.
    """
    try:
        # A small file is read in one system call: from a path, Arrow makes one for every column. `pre_buffer`
        # would keep what it has read.
        small = own_file(path).stat().st_size < _SMALL_BYTES
        source = pa.BufferReader(path.read_bytes()) if small else path
        with pq.ParquetFile(source, pre_buffer=False) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns if name not in names]:
                raise InputError(f"{path}: column {missing[0]!r} is missing")
            chosen = [*columns, *(name for name in optional if name in names)]
            rows = _check_footer(file.metadata, path, most)
            yield from _batches(file, chosen, rows, path)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the run is not complete, run it again") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def unreadable(path: Path, error: Exception) -> InputError:
    """Returns the error for a file that is not what `INSTANCE_SCHEMA` describes."""
    reason = " ".join(str(error).split())
    return InputError(f"{path}: not readable as the instances of a run, perhaps cut short ({reason})")


def _check_footer(footer: pq.FileMetaData, path: Path, most: int) -> int:
    """Checks the bounds, and returns the number of rows to read at once."""
    if max(footer.num_row_groups, footer.num_columns) > _MOST_PARTS:
        raise InputError(
            f"{path}: holds more than {_MOST_PARTS} row groups or columns; no run's instances do"
        )
    groups = [footer.row_group(place) for place in range(footer.num_row_groups)]
    # The groups are what is read, whatever the file says of all of them.
    rows: int = sum(group.num_rows for group in groups)
    if rows > most:
        raise InputError(f"{path}: holds {rows:,} rows, more than the {most:,} instances that there can be")
    sizes = [0]
    for group in groups:
        chunks = [group.column(place) for place in range(group.num_columns)]
        if any(chunk.num_values > _VALUES * group.num_rows for chunk in chunks):
            raise InputError(f"{path}: holds more than {_VALUES} values a row in a column")
        sizes.append(sum(abs(chunk.total_uncompressed_size) for chunk in chunks))
    if sum(sizes) > LARGEST:
        raise _too_large(path)
    return min(max(1, rows), max(1, _AT_ONCE // max(1, *sizes)))


def _batches(file: pq.ParquetFile, columns: Sequence[str], rows: int, path: Path) -> Iterator[pa.RecordBatch]:
    held, batch = 0, None
    # Threads take longer to start than most runs take to read.
    for batch in file.iter_batches(rows, columns=list(columns), use_threads=False):
        held += batch.nbytes
        if held > LARGEST:
            raise _too_large(path)
        yield batch.select(columns)
    if batch is None:
        fields = [file.schema_arrow.field(name) for name in columns]
        yield pa.RecordBatch.from_pylist([], schema=pa.schema(fields))


def _too_large(path: Path) -> InputError:
    return InputError(f"{path}: holds more than {LARGEST >> 30} GiB; no run's instances do")
