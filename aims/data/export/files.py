"""Names and bytes of the picture files that an export writes."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import PurePosixPath, PureWindowsPath
from types import MappingProxyType
from urllib.parse import quote

import cv2
import numpy as np

from aims.core.errors import InputError
from aims.core.schema import Array

_SIGNATURES = MappingProxyType(
    {
        re.compile(rb"\x89PNG\r\n\x1a\n"): ".png",
        re.compile(rb"\xff\xd8\xff"): ".jpg",
        re.compile(rb"II[*+]\0|MM\0[*+]"): ".tif",
        re.compile(rb"RIFF....WEBP", re.DOTALL): ".webp",
    }
)
#: Suffixes of all files of an export.
FILE_SUFFIXES = frozenset({*_SIGNATURES.values(), ".npy"})
# File systems take 255 bytes a name; a suffix is added.
_LONGEST = 200


class FlatNames:
    """File names without a suffix for any image ids, all of them for one folder.

    Everything but ASCII letters, digits and `-._~` is percent-encoded, "/" too. A name that is too long, or
    that a file system which ignores case would confuse with an earlier one, ends in a checksum of its id.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, image_id: str) -> str:
        """The file name of an image; each call takes another name."""
        name = quote(image_id, safe="")
        if name.startswith("."):  # hidden, or the folder itself
            name = f"%2E{name[1:]}"
        if not name or len(name) > _LONGEST or name.casefold() in self._used:
            name = f"{name[: _LONGEST // 2]}-{hashlib.sha256(image_id.encode()).hexdigest()[:16]}"
        self._used.add(name.casefold())
        return name


def path_name(image_id: str) -> str:
    """An image id as a path without a suffix, unchanged: the folder format has no other place for it.

    Raises:
        InputError: the id would leave its folder, is no plain path, or is too long for a file name.
    """
    pure = PurePosixPath(image_id)
    plain = (
        str(pure) == image_id != "."
        and not (pure.is_absolute() or ".." in pure.parts or PureWindowsPath(image_id).drive)
        and not any(char == "\\" or ord(char) < 32 for char in image_id)
        and all(len(part.encode()) <= _LONGEST for part in pure.parts)
    )
    if not plain:
        raise InputError(f"image id {image_id!r} cannot be a file's name; export with --format coco")
    return image_id


def encode_stream(array: Array) -> tuple[str, bytes]:
    """Encodes a (height, width, channels) array losslessly.

    Returns:
        The suffix and the file's bytes: PNG for 8 and 16 bit with one channel or three, else npy.
    """
    if array.dtype in (np.uint8, np.uint16) and array.shape[2] in (1, 3):
        # OpenCV writes blue first.
        _, png = cv2.imencode(".png", np.ascontiguousarray(array[..., ::-1]))
        return ".png", png.tobytes()
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return ".npy", file.getvalue()


def picture_suffix(encoded: bytes) -> str:
    """The suffix that goes with an encoded picture.

    Raises:
        ValueError: it is no PNG, JPEG, TIFF or WebP file.
    """
    for pattern, suffix in _SIGNATURES.items():
        if pattern.match(encoded):
            return suffix
    raise ValueError("the RGB picture is no PNG, JPEG, TIFF or WebP file")
