"""Submissions: a finished run as one file, for others to verify and to add to their runs.

<run name>.aims.zip
    <run name>/submission.json    name of the run; size and SHA-256 of every other member
    <run name>/submission.json.sig    SSH signature of submission.json, if somebody signed it
    <run name>/run.json           the record; its command line without folders
    <run name>/metrics.jsonl, instances.parquet, samples.png    unchanged, if the run has them
    <run name>/weights.safetensors, initial.safetensors    only on request

The same run gives the same bytes. Members are stored without compression, so none is larger than the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from aims.core.curve import LARGEST_CURVE
from aims.core.errors import InputError
from aims.core.files import atomic_write, naming, own_file, regular_file, sha256_file
from aims.core.records import INITIAL, INSTANCES, LARGEST_RECORD, METRICS, RECORD, SAMPLES, WEIGHTS, RunRecord
from aims.core.signatures import sign
from aims.core.structs import Count, Digest, decode_json, decode_struct

SUBMISSION_VERSION = 1
SUFFIX = ".aims.zip"
MANIFEST = "submission.json"
SIGNATURE = f"{MANIFEST}.sig"
#: Members beside the manifest, in order; the first two are required.
MEMBERS = (RECORD, INSTANCES, METRICS, SAMPLES, WEIGHTS, INITIAL)
# Members that are packed on request only, and make a model together.
_MODEL = (WEIGHTS, INITIAL)

# The name becomes that of a folder, so it must not be a path.
_NAME = re.compile(r"\w[\w.-]{0,254}")
# Size limits of the members in bytes.
_LARGEST = {
    MANIFEST: 1 << 16,
    SIGNATURE: 1 << 16,
    RECORD: LARGEST_RECORD,
    INSTANCES: 1 << 30,
    METRICS: LARGEST_CURVE,
    SAMPLES: 1 << 26,
    **dict.fromkeys(_MODEL, 1 << 35),
}
# Size limit of the zip file's directory in bytes: every entry of it takes ten times its length in memory.
_DIRECTORY = 1 << 17
_PIECE = 1 << 20


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """The entry of a file in the manifest.

    Attributes:
        bytes: size of the file.
        sha256: SHA-256 of its content, in hexadecimal.
    """

    bytes: Count
    sha256: Digest


class _Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The content of submission.json."""

    version: Count
    run: str
    files: dict[str, Member]


@dataclass(frozen=True, kw_only=True)
class Submission:
    """A submission whose form is checked, but not yet its content.

    Attributes:
        path: path of the file.
        run: name of the run, valid as the name of a folder.
        members: entries of the manifest by name.
        manifest: the bytes of submission.json, which list all other files.
        signature: signature of these bytes, not yet verified; None if nobody signed them.
    """

    path: Path
    run: str
    members: Mapping[str, Member]
    manifest: bytes
    signature: bytes | None

    def unpack(self, folder: Path) -> list[str]:
        """Writes the members into a new folder; only the names in `MEMBERS` occur.

        Args:
            folder: folder to create.

        Returns:
            Members that are damaged or differ from the manifest, one line each.
        """
        problems = []
        folder.mkdir(parents=True)
        with zipfile.ZipFile(self.path) as archive:
            for name, member in self.members.items():
                digest = hashlib.sha256()
                try:
                    with (
                        archive.open(f"{self.run}/{name}") as source,
                        naming(folder / name),
                        (folder / name).open("wb") as target,
                    ):
                        while piece := source.read(_PIECE):
                            digest.update(piece)
                            target.write(piece)
                except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
                    problems.append(f"{name}: damaged ({error})")
                    continue
                found = digest.hexdigest()
                if found != member.sha256:
                    problems.append(f"{name}: SHA-256 is {found}, {MANIFEST} says {member.sha256}")
        return problems


def pack(run: Path, to: Path, *, weights: bool = False, key: Path | None = None) -> Path:
    """Writes a finished run as a submission.

    Args:
        run: folder of the run.
        to: folder of the submission; created if it does not exist.
        weights: whether to include the trained weights, and what `--init` took from another run.
        key: SSH key to sign the list of files with (`aims.core.signatures.sign`); None to sign nothing.

    Returns:
        Path of the file, which replaces an earlier one of the same name.

    Raises:
        InputError: the folder holds no finished run, a required file is missing, or the key cannot be used.
    """
    record = RunRecord.load(run)
    name = record.config.run_name
    if not _NAME.fullmatch(name):
        raise InputError(f"{run}: the run's name {name!r} cannot be that of a file")
    also = ((METRICS, record.config.epochs), (WEIGHTS, weights))
    for member in (RECORD, INSTANCES, *(member for member, wanted in also if wanted)):
        if not own_file(run / member).is_file():
            raise InputError(f"{run / member}: no such file; it is needed, make the run again with --fresh")
    contents: dict[str, bytes | Path] = {RECORD: portable_record(run).encode()}
    kept = [member for member in MEMBERS[1:] if member not in _MODEL or weights]
    contents |= {member: run / member for member in kept if own_file(run / member).is_file()}
    manifest = _Manifest(
        version=SUBMISSION_VERSION,
        run=name,
        files={member: _described(content) for member, content in contents.items()},
    )
    text = (json.dumps(msgspec.to_builtins(manifest), indent=2) + "\n").encode()
    signature = {} if key is None else {SIGNATURE: sign(text, key)}
    contents = {MANIFEST: text, **signature, **contents}
    try:
        to.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise InputError(f"{to}: is a file; give a folder with --to") from None
    path = to / f"{name}{SUFFIX}"
    with atomic_write(path) as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
        for member, content in contents.items():
            _store(archive, f"{name}/{member}", content)
    return path


def portable_record(run: Path) -> str:
    """Returns the text of a run's run.json without folders in its command line (`portable`)."""
    # The raw JSON, not `RunRecord`, so that keys of other versions are kept.
    said = portable(decode_json((run / RECORD).read_bytes(), where=str(run / RECORD)))
    return json.dumps(said, indent=2, ensure_ascii=False) + "\n"


def portable(content: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run record whose command line has only the last part of every path."""
    command = content.get("command")
    if not isinstance(command, list):
        return dict(content)
    words = [_last_part(str(word)) for word in command[1:]]
    return {**content, "command": ["aims", *words][: len(command)]}


def _last_part(word: str) -> str:
    option, equals, value = word.partition("=") if word.startswith("-") else ("", "", word)
    return option + equals + re.split(r"[/\\]", value.rstrip("/\\"))[-1]


def _described(content: bytes | Path) -> Member:
    if isinstance(content, Path):
        return Member(bytes=content.stat().st_size, sha256=sha256_file(content))
    return Member(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _store(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    # Fixed time, system and permissions, so that the same run gives the same bytes.
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o644 << 16
    if isinstance(content, bytes):
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as target:
        while piece := source.read(_PIECE):
            target.write(piece)


def open_submission(path: Path) -> Submission:
    """Opens a submission, and refuses files that `pack` cannot have written.

    Raises:
        InputError: the file is not a zip file, is truncated or of a newer version, or its members have other
            names, are duplicated, compressed, overlapping or too large.
    """
    try:
        with _Bounded(regular_file(path)) as file:
            return _open(path, file)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    # zipfile raises these, too, for damaged files.
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        reason = " ".join(str(error).split()) or repr(error)
    raise InputError(f"{path}: no submission of a run ({reason}); `aims submit` makes them")


class _Bounded(io.FileIO):
    """A file of which no more is read at once than a directory can be long: zipfile reads it as a whole."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads `size` bytes, or all if it is negative or None. Raises ValueError if these are too many."""
        most = _DIRECTORY + 1
        data = super().read(most if size is None or size < 0 else min(size, most))
        if len(data) == most:
            raise ValueError("its directory is too large")
        return data


def _open(path: Path, file: IO[bytes]) -> Submission:
    size = file.seek(0, 2)
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        run = entries[0].filename.partition("/")[0] if entries else ""
        found: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            folder, _, name = entry.filename.partition("/")
            if name not in (MANIFEST, SIGNATURE, *MEMBERS) or folder != run or name in found:
                raise ValueError(f"it holds {entry.filename!r}")
            # The only flag allowed, 0x800, marks a name in UTF-8.
            if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & ~0x800:
                raise ValueError(f"{name} is compressed or encrypted")
            if entry.file_size != entry.compress_size or entry.file_size > _LARGEST[name]:
                raise ValueError(f"{name} is too large")
            if not 0 <= entry.header_offset < size:
                raise ValueError(f"{name} begins outside the file")
            found[name] = entry
        if not _NAME.fullmatch(run) or MANIFEST not in found:
            raise ValueError(f"it has no {MANIFEST}")
        # Overlapping members would unpack to more bytes than the file has (a zip bomb).
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its members lie over each other")
        text = archive.read(found.pop(MANIFEST))
        signature = archive.read(found.pop(SIGNATURE)) if SIGNATURE in found else None
    manifest = decode_struct(
        text, _Manifest, where=f"{path}, {MANIFEST}", what="a list of members", newest=SUBMISSION_VERSION
    )
    sizes = {name: entry.file_size for name, entry in found.items()}
    if manifest.run != run or {name: member.bytes for name, member in manifest.files.items()} != sizes:
        raise ValueError(f"{MANIFEST} describes other members")
    if not {RECORD, INSTANCES} <= set(found):
        raise ValueError(f"it has no {RECORD} or no {INSTANCES}")
    return Submission(path=path, run=run, members=manifest.files, manifest=text, signature=signature)
