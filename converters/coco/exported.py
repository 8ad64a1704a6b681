"""What `aims export` adds to COCO's files under the key "aims": the rest of the dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aims.core.errors import InputError
from aims.core.files import inside
from aims.core.schema import FORMAT_VERSION, DatasetSpec
from aims.core.structs import convert_struct

from ..reading.coco import Annotations, CocoImage

KEY = "aims"


@dataclass(frozen=True, kw_only=True)
class CocoEntry:
    """One image: its entry in the JSON, its name and group in the dataset, and its files."""

    image: CocoImage
    image_id: str
    group: str
    streams: Mapping[str, Path]
    rgb: Path | None

    @property
    def files(self) -> tuple[Path, ...]:
        """All of its files."""
        return (*self.streams.values(), *(() if self.rgb is None else (self.rgb,)))


@dataclass(frozen=True, kw_only=True)
class ExportedSet:
    """A dataset as its exported files describe it; the files by split, in the dataset's order."""

    spec: DatasetSpec
    files: Mapping[str, Annotations]

    @classmethod
    def of(cls, files: Sequence[Annotations]) -> ExportedSet | None:
        """Reads the description; None for files that were not exported.

        Raises:
            InputError: the files are not those of one export, or a description is damaged.
        """
        if not any(KEY in file.header for file in files):
            return None
        own: dict[str, Annotations] = {}
        for file in files:
            if KEY not in file.header:
                raise InputError(f"{file.path}: lies among files of `aims export` and is none; move it away")
            with _damage(file.path):
                if file.header[KEY]["version"] > FORMAT_VERSION:
                    raise InputError(f"{file.path}: of a newer format; update AIMS to read it")
                split = str(file.header[KEY]["split"])
                own.setdefault(split, file)
                where = f"{file.path}: {KEY}.dataset"
                spec = convert_struct(file.header[KEY]["dataset"], DatasetSpec, where=where)
                order = tuple(map(str, file.header[KEY]["splits"]))
            fingerprints = {str(other.header[KEY].get("fingerprint")) for other in own.values()}
            if own[split] is not file or len(fingerprints) > 1:
                raise InputError(f"{file.path}: is of another export than {files[0].path}; keep them apart")
            if spec.classes != file.classes:
                raise InputError(
                    f"{file.path}: 'categories' are not the classes under {KEY!r}; export it again"
                )
        for split in order:
            if split not in own:
                raise InputError(
                    f"{files[0].path}: the export has a split {split!r}, whose file is missing; copy it, or "
                    f"take {split!r} out of 'splits' under {KEY!r}"
                )
        return cls(spec=spec, files={split: own[split] for split in order})

    def entries(self, root: Path, split: str) -> Iterator[CocoEntry]:
        """The images of a split, with their files below `root`."""
        file = self.files[split]
        for image in file.images:
            where = f"{file.path}: image {image.id}"
            with _damage(where):
                own = file.entries[image.id][KEY]
                rgb = None if own["rgb"] is None else inside(root, own["rgb"], where=where)
                streams = {
                    name: inside(root, own["streams"][name], where=where) for name in self.spec.streams
                }
                yield CocoEntry(
                    image=image,
                    image_id=_text(own["image_id"]),
                    group=_text(own["group"]),
                    streams=streams,
                    rgb=rgb,
                )


def _text(value: str) -> str:
    value.encode()  # half of a UTF-16 pair is refused here, where the file can still be named
    return value


@contextmanager
def _damage(where: Path | str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{where}: not as `aims export` writes it under {KEY!r} ({error!r})") from None
