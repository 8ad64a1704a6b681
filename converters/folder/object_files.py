"""Reads label files that outline the objects of one image by class."""

from __future__ import annotations

from pathlib import Path

from aims.core.errors import InputError
from aims.core.schema import SampleError

from ..reading.masks import Size
from ..reading.objects import draw_objects
from .labels import Labels
from .objects import ObjectClasses


def read_object_file(path: Path, classes: ObjectClasses, size: Size, *, where: str) -> Labels:
    """Reads the objects of one image.

    Args:
        path: the file.
        classes: its format and labels.
        size: (height, width) of the image.
        where: the description, for messages.

    Raises:
        SampleError: the file cannot be read, is of an image of another size, or has a label of no class.
    """
    try:
        content = classes.format.read(path)
    except InputError as error:
        raise SampleError(str(error)) from None
    if content.size not in (None, size):
        found, expected = (f"{height} x {width}" for height, width in (content.size or size, size))
        raise SampleError(f"{path}: of an image of {found} (height x width), but this one is {expected}")
    known = f"'classes' or [labels] values, or to void, in {where}"
    return Labels(str(path), *draw_objects(path, content.objects, classes.ids, size, known=known))
