"""Converts label files to class maps; every value that occurs must be declared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aims.core.schema import Array, SampleError
from aims.data.instances import count_pixels
from aims.reading.pictures import Picture

# Undeclared values that a message counts.
_LISTED = 8

Colour = tuple[int, int, int]


def numbers(path: Path, picture: Picture) -> Array:
    """Returns the (height, width) integers of a label file; those of a palette PNG are its indices.

    Three equal channels count as one, and an alpha channel is ignored. A TIFF whose 0 is white is inverted,
    as viewers show it.

    Raises:
        SampleError: the file holds colours or floats, its alpha channel shows another mask, or its
            compression changes values.
    """
    array = _as_shown(path, picture)
    if array.dtype.kind == "f":
        raise SampleError(f"{path}: {array.dtype} values; labels are whole numbers, save them as integers")
    if array.shape[2] > 3 or (array != array[..., :1]).any():
        coloured = picture.array.shape[2] in (3, 4)
        colours = (
            "for colours that mean classes give kind = \"semantic\" and 'palette' in [labels], for one an "
            'object kind = "instance"'
        )
        hint = colours if coloured else "save it as (height, width)"
        raise SampleError(
            f"{path}: {picture.array.shape[2]} channels that differ, where one number a pixel is expected; "
            f"{hint}"
        )
    number = array[..., 0]
    return number.astype(np.uint8) if number.dtype.kind == "b" else number


def is_coloured(picture: Picture) -> bool:
    """Returns whether a picture without a palette has red, green and blue that differ."""
    array = picture.array
    return (
        picture.palette is None
        and array.shape[2] in (3, 4)
        and bool((array[..., :3] != array[..., :1]).any())
    )


def colour_codes(path: Path, picture: Picture) -> NDArray[np.int64]:
    """Returns the (height, width) codes of the pixels' 8-bit RGB colours; see `colour_code`.

    Grey counts as three equal channels, a palette is looked up, and an alpha channel is ignored.

    Raises:
        SampleError: the file does not hold 8-bit colours, its alpha channel shows another mask, or its
            compression changes values.
    """
    array = _as_shown(path, picture)
    if picture.palette is not None:
        array = picture.palette[array[..., 0]]
    if array.dtype.kind == "b":
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype != np.uint8 or array.shape[2] not in (1, 3):
        raise SampleError(
            f"{path}: {picture.array.shape[2]} channels of {array.dtype}; colours need 8 bits, for "
            "numbers give 'values' in [labels]"
        )
    grey = array.shape[2] == 1
    red, green, blue = (array[..., 0 if grey else channel].astype(np.int64) for channel in range(3))
    return (red << 16) | (green << 8) | blue


def _as_shown(path: Path, picture: Picture) -> Array:
    """Returns the array of a label file without alpha, and with 0 as black."""
    if picture.lossy:
        raise SampleError(
            f"{path}: labels in a compression that changes values (JPEG and its like) are refused; use PNG"
        )
    array = picture.array
    # Arrays of red, green, blue and alpha do not say what they are.
    if picture.alpha or array.shape[2] == 4:
        _check_alpha(path, array[..., :-1], array[..., -1])
        array = array[..., :-1]
    if picture.black is None:
        return array
    if array.dtype == np.bool_:
        return ~array
    if array.dtype != np.uint8:
        raise SampleError(
            f"{path}: 0 is white (WhiteIsZero) and has {array.dtype} values, which some "
            "programs invert; save it with 0 as black"
        )
    return np.uint8(picture.black) - array


def _check_alpha(path: Path, drawn: Array, alpha: Array) -> None:
    """Raises if the alpha channel, which is ignored, shows another mask than the numbers or colours."""
    if (alpha == alpha[0, 0]).all():
        return
    if hidden := np.count_nonzero((alpha == 0) & (drawn != 0).any(axis=2)):
        raise SampleError(
            f"{path}: {hidden} pixels are transparent and not 0, so programs show another mask than is "
            "stored; save the one that is meant as grey or RGB"
        )
    if (drawn == drawn[0, 0]).all():
        raise SampleError(
            f"{path}: differs in its alpha channel alone, which is ignored; save that channel as grey"
        )


def colour_code(colour: Colour) -> int:
    """Returns the code of a colour: 0xRRGGBB."""
    return colour[0] << 16 | colour[1] << 8 | colour[2]


def show_colour(code: int) -> str:
    """Formats the code of a colour for messages."""
    return f"colour [{code >> 16}, {code >> 8 & 255}, {code & 255}]"


def show_value(value: int) -> str:
    """Formats a value for messages."""
    return f"value {value}"


def class_map(
    path: Path,
    values: Array,
    classes: Mapping[int, int],
    *,
    show: Callable[[int], str] = show_value,
    known: str = "[labels]",
) -> NDArray[np.integer]:
    """Looks up the class of every pixel.

    Args:
        path: the label file, for the message.
        values: (height, width), integers.
        classes: class id of every value that may occur.
        show: formats a value for the message.
        known: where the values are declared, for the message.

    Returns:
        (height, width) class ids, in the smallest unsigned dtype that holds them.

    Raises:
        SampleError: a value is not declared; the message counts its pixels and locates the first.
    """
    result = np.zeros(values.shape, np.min_scalar_type(max(classes.values())))
    found, counts = (item.tolist() for item in _occurring(values))
    unknown = [(value, count) for value, count in zip(found, counts, strict=True) if value not in classes]
    if unknown:
        (value, count), *others = unknown
        row, column = divmod(int((values == value).argmax()), values.shape[1])
        more = "".join(f", {show(value)} ({count})" for value, count in others[:_LISTED])
        more += f" and {len(others) - _LISTED} more" * (len(others) > _LISTED)
        raise SampleError(
            f"{path}: {show(value)} is in no class ({count} pixels, first at x={column}, y={row})"
            f"{f'; nor is{more[1:]}' if more else ''}; add it to {known} or mend the file"
        )
    for value in found:
        result[values == value] = classes[value]
    return result


def _occurring(values: Array) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Returns the values that occur, sorted, and the number of pixels of each."""
    if values.dtype not in (np.uint8, np.uint16):
        return np.unique(values, return_counts=True)
    # `np.unique` copies and sorts all pixels of a large picture.
    count = count_pixels(values)
    found = np.flatnonzero(count)
    return found, count[found]
