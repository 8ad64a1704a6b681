"""Reads instances of several classes from label files: masks, coded numbers, or two maps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aims.core.remarks import remark
from aims.core.schema import Array, InstanceMap, SampleError, few
from aims.data.instances import split_instances
from aims.reading.pictures import check_sizes

from ..reading.inventory import FEW
from ..reading.label_maps import class_map, colour_codes, is_coloured, numbers
from ..reading.masks import Size, draw_masks, encode_mask
from .classes import CodedClasses
from .files import ImageFiles
from .label_keys import LabelsEntry
from .labels import Labels, drawn_classes, load_labels, object_numbers


def read_instance_files(
    entry: LabelsEntry, classes: CodedClasses, files: ImageFiles, size: Size, *, where: str
) -> Labels:
    """Reads the instances of one image.

    Args:
        entry: with `one_each`, each file that fits is the mask of one object. With `divisor`, a number is
            that of its class times the divisor, plus that of the instance. With `class_files`, pixels of
            equal class and equal number are one instance.
        classes: the coding of the classes.
        files: the files of the image.
        size: (height, width) of the image, for one without a mask.
        where: the description, for messages.

    Raises:
        SampleError: a file is missing or damaged, sizes differ, or a class is not declared.
    """
    if entry.one_each:
        if entry.empty and not entry.files.find(files.tree, files.parts):
            nothing = InstanceMap(instances=np.zeros(size, np.uint8), class_ids={})
            return Labels(f"image {files.name!r}, which has no mask", nothing)
        return _masks(entry, classes, files, size, where)
    path = files.find(entry.files)
    picture = load_labels(path, entry.variable, files)
    # Tools draw the objects of Pascal VOC in colours, each its own, where the set itself has a palette.
    coloured = entry.class_files is not None and is_coloured(picture)
    values = colour_codes(path, picture) if coloured else numbers(path, picture)
    if values.size and values.min() < 0:
        values = np.where(np.isin(values, [code for code in classes.ids if code < 0]), 0, values)
    if values.size and values.min() < 0:
        raise SampleError(f"{path}: number {values.min()} is negative; list it in 'void', or mend the file")
    if entry.divisor is not None:
        return _coded(path, values, classes, entry.divisor, where)
    assert entry.class_files is not None
    class_path = files.find(entry.class_files)
    picture = load_labels(class_path, entry.class_variable, files)
    return _pairs(path, values, class_path, drawn_classes(class_path, picture, classes, where))


def missing_masks(entry: LabelsEntry, images: Sequence[str]) -> tuple[str, ...]:
    """Returns a line that says what becomes of the images without a mask, if there are any."""
    if not images:
        return ()
    count = f"{len(images):,} image{'s have' if len(images) > 1 else ' has'} no mask"
    if entry.empty:
        what = f"{count}, so no object: "
        return (f"{entry.files.text}: {what}{few(images[:FEW], len(images))}",)
    return (
        f"{entry.files.text}: {count}: {few(images[:FEW], len(images))}; where that means no object, give "
        "empty = true in [labels]",
    )


def _masks(entry: LabelsEntry, classes: CodedClasses, files: ImageFiles, size: Size, where: str) -> Labels:
    """Draws the masks of one image; of those that overlap the smaller one is on top, see `draw_masks`."""
    hint = "; where that means no object, give empty = true in [labels]"
    paths = files.find_all(entry.files, hint=hint)
    named = _named_classes(entry, files, paths, where)
    paths = [path for path in paths if named.get(path) != 0]
    one_a_class = bool(entry.files.free) and not {"*", "?"} & {*entry.files.text}
    masks: dict[int, Array] = {}
    class_ids: dict[int, int] = {}
    for k, path in enumerate(paths, start=1):
        picture = load_labels(path, entry.variable, files)
        if classes.drawn == "instance":
            coloured = is_coloured(picture)
            values, void = object_numbers(path, picture, classes, coloured=coloured)
            masks[k] = ~np.isin(values, list(void))
            held = values[masks[k]]
            if held.size and not coloured and 2 * int(held.min()) <= int(held.max()):
                remark(
                    path,
                    "every number above 0 is the object; where some are its soft edge, save the mask with "
                    "two numbers, or give those up to the half as void",
                )
            found = [named.get(path, 1)] * bool(held.size)
        else:
            masks[k] = drawn_classes(path, picture, classes, where)
            found = [number for number in np.unique(masks[k]).tolist() if number]
        if len(found) > 1:
            raise SampleError(
                f"{path}: holds {len(found)} classes, but is the mask of one object ({entry.files.where}); "
                'give kind = "semantic", or one file an object'
            )
        if found:
            class_ids[k] = found[0]
        if one_a_class and split_instances(masks[k].astype(np.uint8)).max() > 1:
            remark(
                path,
                "the one mask of its class has several regions, which are one instance; save one mask an "
                'object, or one map of all classes, which kind = "semantic" splits',
            )
    check_sizes([(path, mask.shape) for path, mask in zip(paths, masks.values(), strict=True)])
    if masks:
        size = masks[1].shape[0], masks[1].shape[1]
    drawn = draw_masks({k: encode_mask(mask) for k, mask in masks.items()}, size, what="masks")
    visible = {k: class_id for k, class_id in class_ids.items() if k not in drawn.hidden}
    return Labels(
        f"{paths[0]}" if paths else f"image {files.name!r}, whose masks are all void",
        InstanceMap(instances=drawn.instances, class_ids=visible),
        tuple(f"{paths[k - 1]}: {reason}" for k, reason in sorted(drawn.hidden.items())),
        drawn.overlaps,
    )


def _named_classes(
    entry: LabelsEntry, files: ImageFiles, paths: Sequence[Path], where: str
) -> dict[Path, int]:
    """Returns the class id of each mask by its name; empty if names have no {class}."""
    if entry.names is None:
        return {}
    found: dict[Path, int] = {}
    # Of labels that both fit, such as "cell" and "cell_body" in cell_body_3.png, the longer one counts.
    for label in sorted(map(str, entry.names), key=len):
        parts = {**files.parts, **dict.fromkeys(entry.files.free, label)}
        found |= dict.fromkeys(entry.files.find(files.tree, parts), entry.names[label])
    unknown = [path for path in paths if path not in found]
    if unknown:
        raise SampleError(
            f"{unknown[0]}: its name has no class of {entry.files.text!r} ({len(unknown)} of {len(paths)} "
            f"masks of the image); add it to 'classes' or to values or void in {where} [labels]"
        )
    return found


def _coded(path: Path, values: Array, classes: CodedClasses, divisor: int, where: str) -> Labels:
    codes = values // divisor

    def show(code: int) -> str:
        return f"class number {code} (values {code * divisor} to {(code + 1) * divisor - 1})"

    found = class_map(
        path,
        codes,
        classes.ids,
        show=show,
        known=f"values in {where} [labels] as a class, or to 'void' there,",
    )
    ids, first = np.unique(values, return_index=True)
    class_ids = {
        number: int(found.flat[at])
        for number, at in zip(ids.tolist(), first.tolist(), strict=True)
        if found.flat[at]
    }
    # Where the code of the class stands alone, the objects of a group were not told apart.
    alone = Counter(
        values[(values < divisor) & np.isin(values, [code for code in classes.ids if code > 0])].tolist()
    )
    dropped = tuple(
        f"{path}: value {code}: a class without an instance number ({count} pixels)"
        for code, count in sorted(alone.items())
        if classes.ids[code]
    )
    instances = np.where(found > 0, values, values.dtype.type(0))
    return Labels(str(path), InstanceMap(instances=instances, class_ids=class_ids), dropped)


def _pairs(path: Path, values: Array, class_path: Path, found: Array) -> Labels:
    check_sizes([(path, values.shape), (class_path, found.shape)])
    numbered, index = np.unique(values, return_inverse=True)
    index = index.reshape(values.shape).astype(np.int64)
    whole = (found > 0) & (values > 0)
    codes = np.where(whole, found.astype(np.int64) * len(numbered) + index, 0)
    ids = [code for code in np.unique(codes).tolist() if code]
    unnumbered = Counter(found[(found > 0) & (values == 0)].tolist())
    dropped = [
        f"{class_path}: class id {class_id}: {count} pixels without an instance number in {path.name}"
        for class_id, count in sorted(unnumbered.items())
    ]
    return Labels(
        f"{path}",
        InstanceMap(instances=codes, class_ids={code: code // len(numbered) for code in ids}),
        tuple(dropped),
    )
