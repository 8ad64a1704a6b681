"""The base of the converters of published sets whose images have files of their own."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aims.core.schema import Converter, FileCount, Sample
from aims.reading.headers import check_headers
from aims.reading.patterns import Tree

from .inventory import published_kinds, take_inventory

#: The files of an image, existing or not, by the form of their paths below the folder of the set, such as
#: "{split}/image/{id}_rgb.tiff".
Files = Mapping[str, Path]


@dataclass(frozen=True, kw_only=True)
class FilesConverter(Converter):
    """Compares the headers of an image's files before it is read, and counts the files of the set."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """The folder of the set; raises InputError if there is none."""

    @abstractmethod
    def files(self, split: str, image_id: str) -> Files:
        """Returns the files of one image."""

    @abstractmethod
    def read_files(self, split: str, image_id: str) -> Sample:
        """Reads one image; see `read`."""

    def read(self, split: str, image_id: str) -> Sample:
        """Reads one image. A large file of another size than the others is refused before it is unpacked."""
        self.check_files(split, image_id)
        return self.read_files(split, image_id)

    def check_files(self, split: str, image_id: str) -> None:
        """Compares the headers of an image's files; see `check_headers`."""
        check_headers(dict.fromkeys(self.files(split, image_id).values()))

    def source_files(self, split: str, image_id: str) -> Sequence[Path]:
        """Returns the files of the image that exist."""
        return tuple(path for path in self.files(split, image_id).values() if os.path.isfile(path))

    def inventory(self) -> Sequence[FileCount]:
        """Returns the counts of the files of every form; each should belong to an image."""
        ids = [(split, image_id) for split, ids in self.splits().items() for image_id in ids]
        ids += [(line.split, line.image_id) for line in self.left_out()]
        images = {image_id: self.files(split, image_id) for split, image_id in ids}
        tree = Tree(self.folder)
        kinds = published_kinds(tree, images)
        return take_inventory(tree, kinds, shared=self.shared_files(), complete=True)
