"""Tables of the paper's re-distributed archives: one image per line, paths in columns two and three.

They are CSV in GBK, or in UTF-8 that begins with a byte order mark, as spreadsheets save it. The released
program reads them with pandas, which takes the first line for column names whatever it holds. Here a first
line whose second column is a path (with a slash, or with the suffix of an image) lists an image, so that a
table without column names loses none; otherwise it holds the names.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from aims.core.errors import InputError
from aims.core.files import regular_file
from aims.core.schema import Array, InstanceMap, SampleError
from aims.data.instances import split_instances
from aims.reading.pictures import JPEG, RGB_SUFFIXES, Picture, load_picture

T = TypeVar("T")

SPLITS = ("train", "test")
# Characters from here on take three bytes or more in UTF-8, which GBK text hardly ever looks like.
_THREE_BYTES = "\u0800"


class TableRow(NamedTuple):
    """One image of a table.

    Attributes:
        picture: path as written, with forward slashes.
        mask: path as written, with forward slashes.
        where: table and line, for messages.
    """

    picture: str
    mask: str
    where: str


def read_tables(
    folder: Path,
    names: Mapping[str, str],
    find: Callable[[TableRow], tuple[str, T]],
    *,
    fold: Callable[[str], str] = str,
) -> dict[str, dict[str, T]]:
    """Reads the table of every split.

    Args:
        folder: where the tables lie.
        names: their file names by split.
        find: returns the id and the files of a row's image.
        fold: maps ids to the form in which they must be unique, e.g. `str.casefold`.

    Returns:
        The files by split and id, in the order of the tables.

    Raises:
        InputError: a table cannot be read (`read_table`), or an image is listed twice.
    """
    tables = {split: read_table(folder / name) for split, name in names.items()}
    found: dict[str, dict[str, T]] = {split: {} for split in tables}
    listed: dict[str, str] = {}
    for split, row in ((split, row) for split, rows in tables.items() for row in rows):
        image_id, files = find(row)
        first = listed.setdefault(fold(image_id), row.where)
        if first != row.where:
            raise InputError(f"{row.where}: image {image_id!r} is listed already in {first}; keep one")
        found[split][image_id] = files
    return found


def read_rows(path: Path, text: str, *, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yields the line number and the cells of each row of a table that is not empty.

    Raises:
        InputError: the text is no CSV.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for row in reader:
            if any(row):
                yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: no CSV ({error}); copy it again") from error


def read_table(path: Path) -> list[TableRow]:
    """Reads one table; the module's docstring says when the first line counts as a row.

    Raises:
        InputError: the file is missing, not GBK, not CSV of three columns, or lists no image.
    """
    rows = []
    for number, (line, cells) in enumerate(read_rows(path, _gbk_text(path))):
        where = f"{path}, line {line}"
        columns = [cell.replace("\\", "/") for cell in cells]
        if len(columns) < 3:
            raise InputError(f"{where}: {len(columns)} column(s), expected a number, a path, a mask's path")
        if number == 0 and not _is_path(columns[1]):
            continue
        if not columns[1] or not columns[2]:
            raise InputError(f"{where}: a path is empty; give the picture's and its mask's, or drop the line")
        rows.append(TableRow(columns[1], columns[2], where))
    if not rows:
        raise InputError(f"{path}: lists no picture; copy it again")
    return rows


def load_mask(path: Path) -> Picture:
    """Reads a mask that a table names; JPEG is refused because it changes values."""
    if path.suffix.lower() in JPEG:
        raise SampleError(f"{path}: JPEG changes the values of a mask; get it as PNG")
    return load_picture(path)


def regions_by_value(values: Array) -> InstanceMap:
    """Splits a (height, width) map into its 8-connected regions of equal value, all of class 1; 0 is void.

    A map that numbers its instances keeps them, except that an instance of several parts that do not touch
    becomes one instance per part.
    """
    instances = split_instances(values)
    return InstanceMap(instances=instances, class_ids=dict.fromkeys(range(1, int(instances.max()) + 1), 1))


def _gbk_text(path: Path) -> str:
    try:
        data = regular_file(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; it lists the pictures of a split, get it again") from None
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); check its rights") from error
    if fault := _encoding_fault(data):
        raise InputError(f"{path}: not GBK text ({fault}); copy it again, or save it in the encoding GBK")
    return data.decode("utf-8-sig" if data.startswith(codecs.BOM_UTF8) else "gbk")


def _encoding_fault(data: bytes) -> str:
    """Returns why bytes are accepted neither as GBK text nor as UTF-8 with a mark; empty if they are."""
    if data.startswith(codecs.BOM_UTF8):
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            return f"byte {error.start} is not UTF-8, as its first bytes say"
        return ""
    try:
        text = data.decode("gbk")
    except UnicodeDecodeError as error:
        return f"byte {error.start} does not fit"
    # Text in UTF-8 or UTF-16 may decode as GBK as well, to wrong characters.
    if "\0" in text or data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it looks like UTF-16"
    try:
        wide = max(data.decode("utf-8"), default="") >= _THREE_BYTES
    except UnicodeDecodeError:
        return ""
    return "it looks like UTF-8" if wide else ""


def _is_path(cell: str) -> bool:
    return "/" in cell or cell.lower().endswith(RGB_SUFFIXES)
