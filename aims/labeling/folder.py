"""The folder of pictures and objects that were labelled by hand.

OUT/
    labels.toml             its description, which `aims convert folder OUT/labels.toml --raw OUT` reads
    STREAM/ID.tif           the recordings as the sensor stores them; RGB pictures as rgb/ID.png
    objects/ID/CLASS/N.png  one mask an object, black and white
    prompts.json            the clicks and boxes that found them, as `aims predict --prompts` reads

A picture enters with its first object and leaves with its last. Everything is on the disk when `add` returns.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import imagecodecs
import msgspec
import numpy as np
import tifffile
from numpy.typing import NDArray

from aims.core.errors import InputError
from aims.core.files import atomic_write, read_toml, toml_tables, write_json, write_text
from aims.core.schema import Array, StreamSpec
from aims.core.staging import is_empty
from aims.prediction.prompt_files import Prompt, PromptFile
from aims.reading.pictures import load_picture

DESCRIPTION, OBJECTS, PROMPTS = "labels.toml", "objects", "prompts.json"
_RGB = "rgb"
_LONGEST_CLASS = 60
_LICENSE = "not stated; write here who may do what with these recordings"


@dataclass(frozen=True, kw_only=True)
class LabeledObject:
    """One saved object.

    Attributes:
        class_name: its class.
        number: its number in the picture, from 1.
        path: file of its mask.
        prompt: what it was found by; None where the folder does not say it.
    """

    class_name: str
    number: int
    path: Path
    prompt: Prompt | None = None


class LabelFolder:
    """A folder of labelled pictures, opened or to be made.

    Args:
        path: the folder; it is made with the first object.
        streams: descriptions of the sensor's streams.
        classes: names of classes, beside those that the folder has already.

    Raises:
        InputError: the folder holds something else, labels of other streams, or a name cannot be a class.
    """

    def __init__(self, path: Path, streams: Mapping[str, StreamSpec], classes: Iterable[str] = ()) -> None:
        self.path = path
        self._streams = dict(streams)
        self._classes: list[str] = []
        # By picture, in the order of their numbers.
        self._objects: dict[str, list[LabeledObject]] = {}
        if (path / DESCRIPTION).is_file():
            self._open()
        elif path.exists() and not is_empty(path):
            raise InputError(f"{path}: holds something else; give another --out")
        for name in classes:
            self._declare(name)

    @property
    def classes(self) -> Sequence[str]:
        """Names of the classes, in the order of their ids."""
        return tuple(self._classes)

    @property
    def command(self) -> str:
        """The command that converts the folder."""
        return f"aims convert folder {self.path / DESCRIPTION} --raw {self.path}"

    def count(self) -> tuple[int, int]:
        """Returns the numbers of pictures and of objects."""
        return len(self._objects), sum(map(len, self._objects.values()))

    def objects(self, name: str) -> Sequence[LabeledObject]:
        """Returns the objects of a picture, in the order in which they were saved."""
        return tuple(self._objects.get(image_id(name), ()))

    def require_same(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Raises InputError if the folder holds another picture of this name."""
        picture = image_id(name)
        for stream, array in arrays.items():
            path = self._stream_file(stream, picture)
            if path.is_file():
                held = load_picture(path).array
                if held.dtype != array.dtype or not np.array_equal(
                    held, array, equal_nan=held.dtype.kind == "f"
                ):
                    raise InputError(
                        f"{path}: another picture of this name; rename the file, or give another --out"
                    )

    def add(
        self,
        name: str,
        arrays: Mapping[str, Array],
        mask: NDArray[np.bool_],
        class_name: str,
        prompt: Prompt,
    ) -> LabeledObject:
        """Saves an object, and the picture if it is the first one.

        Args:
            name: name of the picture.
            arrays: its streams, (height, width, channels) each.
            mask: (height, width) pixels of the object.
            class_name: its class; a new name becomes a new class.
            prompt: what it was found by.

        Raises:
            InputError: the mask is empty, or the name cannot be a class.
        """
        if not mask.any():
            raise InputError("the mask is empty; click again")
        self._declare(class_name)
        self.require_same(name, arrays)
        picture = image_id(name)
        for stream, array in arrays.items():
            self._write_stream(stream, picture, array)
        self._describe()
        objects = self._objects.setdefault(picture, [])
        number = objects[-1].number + 1 if objects else 1
        path = self.path / OBJECTS / picture / class_name / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            beside.write_bytes(imagecodecs.png_encode(mask.astype(np.uint8) * 255))
        objects.append(LabeledObject(class_name=class_name, number=number, path=path, prompt=prompt))
        self._write_prompts()
        return objects[-1]

    def remove(self, name: str, number: int) -> None:
        """Removes an object, and with the last one its picture.

        Raises:
            InputError: the picture has no such object.
        """
        picture = image_id(name)
        objects = self._objects.get(picture, [])
        found = next((each for each in objects if each.number == number), None)
        if found is None:
            raise InputError(f"{name}: has no object {number}")
        found.path.unlink()
        if not any(found.path.parent.iterdir()):
            found.path.parent.rmdir()
        objects.remove(found)
        if not objects:
            del self._objects[picture]
            shutil.rmtree(self.path / OBJECTS / picture)
            for stream in self._streams:
                self._stream_file(stream, picture).unlink(missing_ok=True)
        self._write_prompts()

    def mask(self, saved: LabeledObject) -> NDArray[np.bool_]:
        """Reads the (height, width) mask of a saved object."""
        mask: NDArray[np.bool_] = load_picture(saved.path).array[:, :, 0] > 0
        return mask

    def _open(self) -> None:
        path = self.path / DESCRIPTION
        content = read_toml(path, otherwise="")
        held = set(content.get("streams", {})) | ({_RGB} & set(content))
        if held != set(self._streams):
            raise InputError(
                f"{path}: holds labels of {', '.join(sorted(held)) or 'nothing'}, the model sees "
                f"{', '.join(self._streams)}; give another --out"
            )
        for name in content.get("classes", ()):
            self._declare(str(name))
        for folder in sorted((self.path / OBJECTS).glob("*/")):
            found = [
                LabeledObject(class_name=file.parent.name, number=int(file.stem), path=file)
                for file in folder.glob("*/*.png")
                if file.stem.isdecimal()
            ]
            if found:
                self._objects[folder.name] = sorted(found, key=lambda each: each.number)
        prompts = self.path / PROMPTS
        for picture, known in (PromptFile.read(prompts).pictures if prompts.is_file() else {}).items():
            objects = self._objects.get(picture, [])
            # Prompts are listed in the order of the objects; of other objects they mean nothing.
            if len(objects) == len(known):
                self._objects[picture] = [
                    replace(each, prompt=prompt) for each, prompt in zip(objects, known, strict=True)
                ]

    def _declare(self, name: str) -> None:
        """Adds a class, whose name is also that of a folder."""
        if name in self._classes:
            return
        fits = name.isprintable() and not re.search(r'[/\\:*?"<>|{}\[\]]', name) and name.strip(" .") == name
        if not name or not fits or len(name.encode()) > _LONGEST_CLASS:
            raise InputError(
                f"class {name!r}: use at most {_LONGEST_CLASS} letters, digits, spaces, '-' and '_'"
            )
        folded = {each.casefold(): each for each in self._classes}
        if name.casefold() in folded:
            # On disks that do not tell capitals apart they would be one folder.
            raise InputError(f"class {name!r}: there is {folded[name.casefold()]!r}; write it the same")
        self._classes.append(name)

    def _describe(self) -> None:
        """Writes the description, unless it says the same already."""
        streams = {
            f"streams.{name}": {
                "files": f"{name}/{{id}}.tif",
                "unit": spec.unit,
                **{
                    key: value
                    for key in ("valid_range", "missing", "wavelength_nm")
                    if (value := getattr(spec, key)) is not None
                },
            }
            for name, spec in self._streams.items()
            if name != _RGB
        }
        if _RGB in self._streams:
            streams["rgb"] = {"files": "rgb/{id}.png"}
        head = {"name": _dataset_name(self.path), "license": _LICENSE, "classes": self._classes}
        labels = {"files": f"{OBJECTS}/{{id}}/{{class}}/*.png", "kind": "masks"}
        text = "# Written by `aims click`, which adds classes; all else is yours to change.\n"
        text += toml_tables({"": head, "splits": {"train": "*"}, **streams, "labels": labels})
        text = text.replace(
            'train = "*"', 'train = "*"  # beside it, test = "20%" draws a fifth for testing', 1
        )
        path = self.path / DESCRIPTION
        if not path.is_file():
            write_text(path, text)
        elif (old := path.read_text("utf-8")) != text:
            # What was changed by hand stays: only the line of the classes is ours.
            line = next(line for line in text.splitlines() if line.startswith("classes = "))
            write_text(path, re.sub(r"^classes = .*$", lambda _: line, old, count=1, flags=re.MULTILINE))

    def _stream_file(self, stream: str, picture: str) -> Path:
        return self.path / stream / f"{picture}{'.png' if stream == _RGB else '.tif'}"

    def _write_stream(self, stream: str, picture: str, array: Array) -> None:
        path = self._stream_file(stream, picture)
        if path.is_file():
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as beside:
            if stream == _RGB:
                beside.write_bytes(imagecodecs.png_encode(array))
                return
            planes = array if array.shape[2] > 1 else array[:, :, 0]
            tifffile.imwrite(
                beside,
                planes,
                photometric="minisblack",
                planarconfig="contig" if planes.ndim == 3 else None,
                compression="zlib",
                metadata=None,
            )

    def _write_prompts(self) -> None:
        pictures = {
            picture: msgspec.to_builtins([each.prompt for each in objects])
            for picture, objects in sorted(self._objects.items())
            if all(each.prompt for each in objects)
        }
        if pictures:
            write_json(self.path / PROMPTS, pictures)
        else:
            (self.path / PROMPTS).unlink(missing_ok=True)


def image_id(name: str) -> str:
    """Returns a picture's name as one file name: the folders in it are joined."""
    return name.replace("/", "--")


def _dataset_name(path: Path) -> str:
    """Makes a dataset name of a folder's name."""
    return re.sub(r"[^a-z0-9]+", "-", path.resolve().name.lower()).strip("-") or "labels"
