"""Reads the labels of one image of a folder: label files with numbers or colours, or COCO JSON."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from aims.core.errors import InputError
from aims.core.names import composed
from aims.core.remarks import remark
from aims.core.schema import FileCount, InstanceMap, SampleError, SemanticMap
from aims.data.instances import split_instances
from aims.reading.pictures import JPEG, Picture

from ..reading.coco import CocoImage, read_annotations
from ..reading.label_maps import class_map, colour_codes, is_coloured, numbers, show_colour, show_value
from .classes import CodedClasses
from .files import ImageFiles
from .label_keys import LabelsEntry

_WHITE = 255  # of masks of 8 bits
_BORDERS = (255, 65535)  # the highest numbers, by which label maps mark borders and what is unknown
_WHITE_COLOUR = 0xFFFFFF
_FEW = 8  # instances, of which some may well be small


@dataclass(frozen=True)
class Labels:
    """The labels of one image.

    Attributes:
        place: the file, and the entry in it, for messages.
        labels: class map or instance map.
        dropped: labelled objects that the map cannot hold, and why.
        overlaps: objects of which the map holds a part only, and why.
    """

    place: str
    labels: SemanticMap | InstanceMap
    dropped: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()


class CocoLabels:
    """One COCO file whose categories are the description's classes.

    Args:
        path: the JSON file.
        classes: the description's classes, in the order of their ids.
        names: names of all images of the dataset, so that none takes the entry of another.
        where: the description, for messages.

    Attributes:
        annotations: the content of the file.

    Raises:
        InputError: the file is not a valid COCO instances file, or its categories are not the classes.
    """

    def __init__(self, path: Path, classes: tuple[str, ...], *, names: Collection[str], where: str) -> None:
        self.annotations = read_annotations(path)
        self._names = frozenset(map(composed, names))
        known, own = (list(map(composed, listed)) for listed in (self.annotations.classes, classes))
        if set(known) != set(own):
            only_here = [name for name in known if name not in own] or "none"
            only_there = [name for name in own if name not in known] or "none"
            raise InputError(
                f"{path}: its categories are not the classes of {where}: only the file has {only_here}, "
                f"only 'classes' has {only_there}; make them the same"
            )
        self._class_ids = {k: own.index(name) + 1 for k, name in enumerate(known, start=1)}
        self._by_last: dict[str, list[CocoImage]] = {}
        for image in self.annotations.images:
            name = PurePosixPath(composed(image.file_name))
            for last in {name.name, name.stem}:
                self._by_last.setdefault(last, []).append(image)

    def read(self, name: str, own: Collection[str], *, crowds: bool = False) -> Labels:
        """Reads the labels of one image, from the entry found by the first of these rules that matches:

        1. its `file_name`, with or without the suffix, equals the name of the image;
        2. its `file_name` equals the path of a file of the image;
        3. its `file_name`, with or without the suffix, ends with "/" and the name;
        4. its `file_name` ends with "/" and the path of a file of the image, or the reverse.

        Rules 3 and 4 skip entries that end with a longer name of another image.

        Args:
            name: the name of the image, i.e. the value of `{id}`.
            own: the image's own files, relative to the raw folder.
            crowds: whether crowd regions are objects.

        Raises:
            SampleError: no entry matches, or several match by the same rule.
        """
        path, found = self.annotations.path, self._find(name, own)
        if not found:
            raise SampleError(
                f"{path}: image {name!r} is not in it: no 'file_name' is {name!r} with a suffix, or one of "
                f"{', '.join(own)}; add it, or leave the image out of [splits]"
            )
        if len(found) > 1:
            raise SampleError(
                f"{path}: {found[0].file_name!r} and {found[1].file_name!r} both fit image {name!r}; "
                "rename one, or write more of its folder into [splits]"
            )
        labels, dropped, overlaps = self.annotations.labels(found[0], crowds=crowds)
        class_ids = {number: self._class_ids[k] for number, k in labels.class_ids.items()}
        place = f"{path} ({found[0].file_name})"
        drawn = InstanceMap(instances=labels.instances, class_ids=class_ids)
        return Labels(place, drawn, dropped, overlaps)

    def count(self, images: Mapping[str, tuple[str, Collection[str]]], *, complete: bool) -> FileCount:
        """Counts the entries of the file that belong to images.

        Args:
            images: by image id, the name and the own files of the image, see `read`.
            complete: whether every entry should belong to an image.
        """
        found = {image_id: self._find(*image) for image_id, image in images.items()}
        return self.annotations.count(found, complete=complete)

    def _find(self, name: str, own: Collection[str]) -> list[CocoImage]:
        """Returns the entries that match by the first rule that any entry satisfies; see `read`."""
        # Names may be written in another form of Unicode on disk than in the file.
        name, own = composed(name), [composed(path) for path in own]
        lasts = dict.fromkeys(PurePosixPath(path).name for path in (name, *own))
        entries = dict.fromkeys(entry for last in lasts for entry in self._by_last.get(last, ()))

        def free(entry: CocoImage) -> bool:
            ends = (end for form in _forms(entry) for end in _ends(form))
            return not any(end in self._names and len(end) > len(name) for end in ends)

        rules: tuple[Callable[[CocoImage], bool], ...] = (
            lambda entry: name in _forms(entry),
            lambda entry: _forms(entry)[0] in own,
            lambda entry: free(entry) and any(name in _ends(form) for form in _forms(entry)),
            lambda entry: (
                free(entry)
                and any(_forms(entry)[0] in _ends(file) or file in _ends(_forms(entry)[0]) for file in own)
            ),
        )
        for fits in rules:
            found = [entry for entry in entries if fits(entry)]
            if found:
                return found
        return []


def _forms(entry: CocoImage) -> tuple[str, str]:
    """Returns a file name with and without its suffix."""
    file = PurePosixPath(composed(entry.file_name))
    return file.as_posix(), (file.parent / file.stem).as_posix()


def _ends(path: str) -> list[str]:
    """Returns a path and all its suffixes of whole components: a/b/c, b/c, c."""
    parts = path.split("/")
    return ["/".join(parts[k:]) for k in range(len(parts))]


def read_label_file(entry: LabelsEntry, classes: CodedClasses, files: ImageFiles, *, where: str) -> Labels:
    """Reads the label file of one image; `where` is the description, for messages."""
    path = files.find(entry.files, hint='; if each is the mask of one object, give kind = "masks"')
    picture = load_labels(path, entry.variable, files)
    if classes.drawn != "instance":
        return Labels(str(path), SemanticMap(class_map=drawn_classes(path, picture, classes, where)))
    coloured = is_coloured(picture)
    values, void = object_numbers(path, picture, classes, coloured=coloured)
    ids = [number for number in np.unique(values).tolist() if number not in void]
    if ids and ids[0] < 0:
        raise SampleError(
            f"{path}: instance number {ids[0]} is negative; number instances from 1, 0 is nothing"
        )
    drawn = np.where(np.isin(values, list(void)), values.dtype.type(0), values)
    if ids and (text := _doubts(drawn, ids, coloured=coloured)):
        remark(path, text)
    return Labels(str(path), InstanceMap(instances=drawn, class_ids=dict.fromkeys(ids, 1)))


def object_numbers(
    path: Path, picture: Picture, classes: CodedClasses, *, coloured: bool
) -> tuple[NDArray[np.integer], Collection[int]]:
    """Returns the (height, width) numbers that tell objects apart, and those of them that are nothing.

    The numbers of a picture that `is_coloured` are the codes of its colours.
    """
    if coloured:
        return colour_codes(path, picture), classes.void_colours
    return numbers(path, picture), number_classes(picture, classes)


def _doubts(drawn: NDArray[np.integer], ids: list[int], *, coloured: bool) -> str | None:
    """Returns what in an instance map looks as if its numbers, or codes of colours, meant something else."""
    if ids == [_WHITE] and split_instances(drawn).max() > 1:
        return f'{_WHITE} alone, in several regions, is one instance; of a mask kind = "semantic" splits them'
    *others, last = ids
    if others and (last == _WHITE_COLOUR if coloured else last in _BORDERS and last - 1 != others[-1]):
        border, void = ("white", "[[255, 255, 255]]") if coloured else (last, last)
        return f"{border} is an instance like all others; if it means a border or unknown, give void = {void}"
    if len(ids) > _FEW and _mostly_edges(drawn, len(ids)):
        return (
            f"most of its {'colours' if coloured else 'numbers'} are nowhere three pixels wide, as those of "
            "blended edges are; if it was resized, do it again by the nearest neighbour"
        )
    if coloured and split_instances(drawn).max() > len(ids):
        return (
            'a colour in several regions is one instance; colours that mean classes need kind = "semantic" '
            "and 'palette'"
        )
    return None


def _mostly_edges(drawn: NDArray[np.integer], count: int) -> bool:
    """Returns whether more than half of the `count` numbers of a (height, width) map have no inner pixel."""
    inner = minimum_filter(drawn, 3) == maximum_filter(drawn, 3)
    return bool(2 * np.count_nonzero(np.unique(drawn[inner])) < count)


def load_labels(path: Path, variable: str | None, files: ImageFiles) -> Picture:
    """Decodes a label file; whole numbers that were saved as floats, as MATLAB does, become integers."""
    if path.suffix.lower() in JPEG:
        raise SampleError(f"{path}: JPEG labels are refused, because its compression changes values; use PNG")
    picture = files.picture(path, variable)
    array = picture.array
    if array.dtype.kind != "f":
        return picture
    # From here on neighbouring integers are one float: 2**53 of float64, 2**24 of float32.
    most = 2.0 ** (np.finfo(array.dtype).nmant + 1)
    whole = bool(((np.abs(array) < most) & (np.floor(array) == array)).all())
    return replace(picture, array=array.astype(np.int64)) if whole else picture


def drawn_classes(path: Path, picture: Picture, classes: CodedClasses, where: str) -> NDArray[np.integer]:
    """Returns the (height, width) class ids of a map that shows classes by numbers or colours."""
    known = f"{classes.drawn} in {where} [labels] as a class, or to 'void' there,"
    if classes.drawn == "palette":
        return class_map(path, colour_codes(path, picture), classes.ids, show=show_colour, known=known)
    values = numbers(path, picture)
    return class_map(path, values, number_classes(picture, classes), show=show_value, known=known)


def number_classes(picture: Picture, classes: CodedClasses) -> Mapping[int, int]:
    """Returns the class of each number; what the file declares to be no data is void unless it has one."""
    missing = picture.missing
    # A fraction is no label's.
    if missing is None or not float(missing).is_integer():
        return classes.ids
    return {int(missing): 0, **classes.ids}
