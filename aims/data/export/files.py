"""Names and contents of the image files that an export writes."""

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
        re.compile(rb"BM"): ".bmp",
    }
)
#: Suffixes of all files of an export.
FILE_SUFFIXES = frozenset({*_SIGNATURES.values(), ".npy"})
# File systems limit a name to 255 bytes, of which the suffix needs some.
_LONGEST = 200


class FlatNames:
    """Maps image ids to file names, without suffix, that are unique in one folder.

    Everything but ASCII letters, digits and `-._~` is percent-encoded, "/" too. A name that is too long, or
    that equals an earlier one up to case, ends in a checksum of its id.
    """

    def __init__(self) -> None:
        self._used: set[str] = set()

    def __call__(self, image_id: str) -> str:
        """Returns the file name of an image; every call returns a new name."""
        name = quote(image_id, safe="")
        if name.startswith("."):  # hidden, or the folder itself
            name = f"%2E{name[1:]}"
        if not name or len(name) > _LONGEST or name.casefold() in self._used:
            name = f"{name[: _LONGEST // 2]}-{hashlib.sha256(image_id.encode()).hexdigest()[:16]}"
        self._used.add(name.casefold())
        return name


def path_name(image_id: str) -> str:
    """Returns an image id unchanged, as a relative path without suffix: the folder format keeps ids in paths.

    Raises:
        InputError: the id leads out of its folder, is not a plain path, or is too long for a file name.
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
        The suffix and the content of the file: PNG for uint8 and uint16 with one or three channels, else npy.
    """
    if array.dtype in (np.uint8, np.uint16) and array.shape[2] in (1, 3):
        # OpenCV expects BGR order.
        _, png = cv2.imencode(".png", np.ascontiguousarray(array[..., ::-1]))
        return ".png", png.tobytes()
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return ".npy", file.getvalue()


def picture_suffix(encoded: bytes) -> str:
    """Returns the file suffix of an encoded image, by its signature.

    Raises:
        ValueError: it is not a PNG, JPEG, TIFF, BMP or WebP file.
    """
    for pattern, suffix in _SIGNATURES.items():
        if pattern.match(encoded):
            return suffix
    raise ValueError("the RGB picture is no PNG, JPEG, TIFF, BMP or WebP file")
