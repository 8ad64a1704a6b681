"""The converter of a dataset of the zoo, made from its description."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aims.core.errors import InputError
from aims.core.schema import Published

from ..folder import FolderConverter
from ..folder.config import FolderConfig, load_config

#: Most classes that a line of `aims convert --help` names.
_FEW = 8


@dataclass(frozen=True, kw_only=True)
class ZooConverter(FolderConverter):
    """A public dataset that a description of the zoo tells how to read."""

    published: ClassVar[Published]

    # The description is the class's own, and no option.
    config: Path

    @property
    def root(self) -> Path:
        """The raw folder: the given one, else data/raw/NAME below the working directory."""
        return super(FolderConverter, self).root

    @property
    def how_to_get(self) -> str:
        """Where the files are, and how to get them."""
        facts = self.published
        told = [facts.url, facts.access, facts.size]
        return f"{self.name}: {', '.join(filter(None, told))}; give the folder of its files with --raw"


def zoo_converter(path: Path, *, module: str) -> type[ZooConverter]:
    """Makes the converter class of a description.

    Args:
        path: the description; its stem is the name of the dataset.
        module: module of which the class is an attribute, by its name with "_" for "-".

    Raises:
        InputError: the description is not valid, or has another name or no [published].
    """
    config = load_config(path)
    published = config.published
    if published is None or config.head["name"] != path.stem:
        raise InputError(f"{path}: a description of the zoo needs [published] and name = {path.stem!r}")
    return dataclasses.make_dataclass(
        path.stem.replace("-", "_"),
        [("config", Path, path)],
        bases=(ZooConverter,),
        frozen=True,
        kw_only=True,
        namespace={
            "__module__": module,
            "__doc__": _help(config, published),
            "name": path.stem,
            "published": published,
        },
    )


def _help(config: FolderConfig, facts: Published) -> str:
    """Returns a text for `--help`: a line, and what is known of the set."""
    classes = config.classes if len(config.classes) <= _FEW else [f"{len(config.classes)} classes"]
    title = f"{facts.sensor}: {', '.join(classes)}."
    told = [facts.citation, f"Licence: {facts.license}", ", ".join(filter(None, [facts.url, facts.access]))]
    return f"{title[0].upper()}{title[1:]}\n\n" + "\n\n".join(f"{line}." for line in told if line)
