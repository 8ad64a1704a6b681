"""The words by which names of files and folders say what they hold."""

from __future__ import annotations

import re


def _vocabulary(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LABELS = _vocabulary(
    "ann anno annotated annotation annotations annot groundtruth gt gtcoarse gtfine inst instance instances "
    "instanceids label labelids labelled labels labeltrainids lbl mask masks panoptic seg segm segmentation "
    "segmentations semantic target targets truth"
)
_PICTURES = _vocabulary(
    "bmp color colour frame frames image images img imgs jpeg jpegimages jpg photo photos picture pictures "
    "png rgb tif tiff vis visible"
)
_SENSORS = _vocabulary(
    "aolp depth disparity dolp dop em fluorescence hh hha hsi hv infrared intensity ir lwir msi mwir nir pol "
    "polarization raw rawdepth sar sonar swir temperature thermal tir ultrasound us uv vh vv xray"
)
_ROLES = _LABELS | _PICTURES | _SENSORS
#: Heads of names; others, as in IMG_0001, belong to the name that a camera gave.
_HEADS = _LABELS | _SENSORS | {"rgb"}
#: Words for the objects and the classes of a pair of maps.
OBJECT_WORDS = frozenset({"instance", "instances", "inst", "instanceids", "object", "objects"})
CLASS_WORDS = frozenset({"semantic", "class", "classes"})
#: Words for pictures in visible colours.
RGB_WORDS = _PICTURES - {"frame", "frames"}

#: Words for the splits, by what a split is called.
SPLITS = {
    **dict.fromkeys(("train", "training", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "valset", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "testset"), "test"),
}
#: The splits, in their order.
SPLIT_NAMES = tuple(dict.fromkeys(SPLITS.values()))
#: Parts of patterns for folders of splits: those that are called as the splits are, and others.
SPLIT_PARTS = ("split", "subset")
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+")
_SPLIT = re.compile(rf"(?<![^\W_])({'|'.join(sorted(SPLITS, key=len, reverse=True))})(?![^\W_])", re.I)
_TOKEN = re.compile(r"[_\-. ]?[^_\-. ]+")


def words(text: str) -> list[str]:
    """Returns the words of a name in lower case: "SegmentationClass" has two."""
    return [word.lower() for word in _WORD.findall(text)]


def names_labels(text: str) -> bool:
    """Returns whether a word of a name says that files hold labels."""
    lower = text.lower()
    return lower.endswith(("mask", "masks", "labels")) or any(
        word in _LABELS for word in [*words(text), lower]
    )


def names_role(text: str) -> bool:
    """Returns whether a name says what files hold: labels, pictures, or the values of a sensor."""
    return (
        names_labels(text) or any(word in _ROLES for word in words(text)) or text.lower().endswith("images")
    )


def split_word(name: str) -> re.Match[str] | None:
    """Finds the word for a split in a name, such as "train" in "train_masks"."""
    return _SPLIT.search(name)


def split_name(word: str) -> str:
    """Returns the name of the split that a word means."""
    return SPLITS[word.lower()]


def split_tail(stem: str) -> tuple[str, str]:
    """Splits the words at the end that say what a file holds from a name: "01_depth_raw" at "_depth_raw"."""
    tokens = _TOKEN.findall(stem)
    if "".join(tokens) != stem:
        return stem, ""
    k = len(tokens)
    while k and _is_role(tokens[k - 1].strip("_-. 0123456789")):
        k -= 1
    # An alphabetic word is needed: a number alone says nothing.
    return "".join(tokens[:k]), "".join(tokens[k:])


def _is_role(token: str) -> bool:
    # Two letters may stand in any name.
    return token.lower() in _ROLES or any(len(word) > 2 and word in _ROLES for word in words(token))


def split_head(stem: str) -> tuple[str, str]:
    """Splits a word at the beginning that says what a file holds from a name: "mask_01" at "mask_"."""
    match = re.match(r"([A-Za-z]+)[_\-. ](?=.)", stem)
    return (match[0], stem[match.end() :]) if match and match[1].lower() in _HEADS else ("", stem)
