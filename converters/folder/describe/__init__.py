"""Describes a folder of anybody's own data, as `aims init` writes it.

Names are listed (`listing`), divided into families with one pattern each (`families`), and paired; a few
files of each are read (`content`), so that streams and labels are told apart (`layout`), and what labels mean
is guessed (`guesses`, `outlines`). The description is then tried on the first images by the converter itself.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aims.core.drafts import Draft
from aims.core.errors import AimsError, InputError
from aims.core.files import write_text
from aims.core.schema import Converter, SampleError

from .content import spread
from .families import READ, Key, find_families
from .layout import Layout, find_layout, keep_images
from .listing import Listing, find_places, list_files
from .lists import find_splits
from .text import comment, texts
from .writing import Page, name_of, write_page

_TRIED = 4  # images a split
_LISTED = 3  # of those that cannot be read
_NAMED = 4  # suffixes

#: Makes the converter of a description and a raw folder.
MakeConverter = Callable[[Path, Path], Converter]


def describe_folder(root: Path, make: MakeConverter) -> Draft:
    """Describes a folder.

    Args:
        root: the raw folder.
        make: makes the converter that reads the description.

    Raises:
        InputError: there is no such folder, it has nothing that is read, or its labels are COCO's.
    """
    listing = list_files(root)
    layout = find_layout(root, find_families(find_places(listing.top)))
    if layout.coco and layout.guess is None:
        raise InputError(
            f"{root / layout.coco[0]}: annotations in COCO's form, which need no description; give "
            f"`aims convert coco --raw {root}`"
        )
    if layout.first is None and layout.guess is None:
        raise InputError(f"{root}: {_nothing(listing)}")
    splits = find_splits(root, listing.top, layout)
    if splits.keys is not None:
        splits.notes += _unlisted(layout, splits.keys)
        keep_images(layout, splits.keys)
    name = name_of(root.resolve().name)
    for chosen in splits.choices:
        page = write_page(layout, splits, chosen, name)
        text = "\n\n".join(page.tables) + "\n"
        lacks = _lacks(layout)
        tried = _Tried(problems=[lacks]) if lacks else _try(text, root, make)
        # Shares can leave a split without an image.
        if not any("has no images" in problem for problem in tried.problems):
            break
    lacking = len(layout.labelled) < len(layout.keys)
    page.unknown += [*tried.unreadable, *_passed_over(listing, layout)]
    # Paths begin with the folder as it was given, which the description does not depend on.
    before = f"{root}/"
    return Draft(
        text=f"{_top(page, listing, tried.problems)}\n\n{text}".replace(before, ""),
        found=page.found,
        guesses=page.guesses,
        unknown=[note.replace(before, "") for note in page.unknown],
        problems=[problem.replace(before, "") for problem in tried.problems],
        keep_going=not tried.problems and bool(tried.unreadable or lacking),
    )


@dataclass
class _Tried:
    """Why a description cannot be converted, and the images that cannot be read by it."""

    problems: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def _lacks(layout: Layout) -> str:
    """Returns what a description cannot do without; empty if it is there."""
    if layout.guess is None:
        return "labels, named as their pictures are"
    return "" if layout.streams or layout.rgb else "pictures, named as their labels are"


def _try(text: str, root: Path, make: MakeConverter) -> _Tried:
    """Reads the first images of each split by a description."""
    tried, read = _Tried(), 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "description.toml"
        write_text(path, text)
        converter = make(path, root)
        try:
            converter.spec()
            for split, ids in converter.splits().items():
                for image_id in spread(ids, _TRIED):
                    try:
                        converter.read(split, image_id)
                        read += 1
                    except SampleError as error:
                        tried.unreadable.append(str(error).replace(str(path), "the description"))
        except AimsError as error:
            tried.problems.append(str(error).replace(str(path), "the description"))
    if not read and tried.unreadable:
        tried.problems += tried.unreadable[:1]
    tried.unreadable = tried.unreadable[:_LISTED] if read else []
    return tried


def _nothing(listing: Listing) -> str:
    if not listing.count and listing.broken:
        return f"{_broken(listing)} no file; fetch what they link to"
    if not listing.count:
        return (
            "an empty folder"
            + f", but for {texts(listing.hidden, 'hidden file', 'hidden files')}" * bool(listing.hidden)
            + "; give the folder that holds the pictures"
        )
    return (
        f"{texts(listing.count, 'file', 'files')}, and none that is read; pictures are png, jpg, tiff, bmp, "
        "webp, npy, npz, mat or h5: convert them to one of these"
    )


def _broken(listing: Listing) -> str:
    return texts(listing.broken, "link leads to", "links lead to")


def _unlisted(layout: Layout, keys: Sequence[Key]) -> list[str]:
    count = len(layout.keys) - len(keys)
    return [f"{texts(count, 'image stands', 'images stand')} in no list of a split"] if count else []


def _passed_over(listing: Listing, layout: Layout) -> list[str]:
    notes = []
    if listing.hidden:
        notes.append(f"{texts(listing.hidden, 'hidden file is', 'hidden files are')} passed over")
    if listing.broken:
        notes.append(f"{_broken(listing)} no file")
    if listing.misnamed is not None:
        notes.append(f"{listing.misnamed}: a name that is not UTF-8, as others may be; rename them")
    if listing.deep:
        notes.append(f"folders below {listing.deep}, which lie too deep")
    if layout.coco:
        notes.append(f"{layout.coco[0]} is in COCO's form, which `aims convert coco` reads")
    if unread := Counter({suffix: count for suffix, count in listing.suffixes.items() if suffix not in READ}):
        named = ", ".join(
            f"{suffix or 'no suffix'} ({count})" for suffix, count in unread.most_common(_NAMED)
        )
        more = ", ..." * (len(unread) > _NAMED)
        notes.append(f"{texts(unread.total(), 'file', 'files')} of formats that are not read: {named}{more}")
    if layout.guess is None and (count := listing.suffixes[".json"]):
        notes.append(f"{texts(count, 'JSON file', 'JSON files')} in no form of labels that is read")
    return notes


def _top(page: Page, listing: Listing, problems: list[str]) -> str:
    lines = [
        comment(
            "Drafted by `aims init` from names and a few files; read by `aims convert folder`. "
            "What is marked as a guess the files do not say: check it."
        ),
        comment(f"{texts(listing.count, 'file was', 'files were')} found. Not known, or not used:"),
        *(comment(f"- {note}") for note in page.unknown),
    ]
    if problems:
        lines += [comment("As it is, it cannot be converted:"), *(comment(f"- {each}") for each in problems)]
    return "\n".join(lines)
