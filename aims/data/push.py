"""Sending a dataset, a run or an exported model to the Hugging Face Hub."""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from aims.core.errors import InputError
from aims.core.evaluations import EVERYTHING, PROMPT_MEANS, PROMPT_ROWS
from aims.core.files import inside, own_file
from aims.core.records import (
    INITIAL,
    INSTANCES,
    METRICS,
    RECORD,
    SAMPLES,
    WEIGHTS,
    RunRecord,
)
from aims.core.submissions import portable_record
from aims.data.hub import SAFE, Kind, Repository, endpoint, hub_errors
from aims.data.manifest import MANIFEST, read_manifest
from aims.data.run_card import run_card

CARD = "README.md"
#: What tells an exported model from other folders: AIMS's description, or that of another library.
DESCRIPTIONS = ("model.json", "config.json")
_DROPPED = "dropped.jsonl"
_WEIGHTS = (".safetensors", ".onnx")
_SHARD = re.compile(r"data/[^/]+\.parquet")
_RUN_FILES = (METRICS, INSTANCES, WEIGHTS, INITIAL, PROMPT_ROWS, PROMPT_MEANS, EVERYTHING)
# Licences that let others pass on what was made of the data, and words that take that back.
_FREE = re.compile(
    r"\b(CC0|public domain|PDDL|ODC-BY|ODbL|MIT|BSD|Apache|[AL]?GPL(?:v\d)?|CC[- ]BY|Attribution)"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)
_BUT = re.compile(r"\b(ND|No-?Deriv\w*|no|not|never|only|forbid\w*|prohibit\w*)\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What is sent.

    Attributes:
        kind: what the repository becomes, "dataset" or "model".
        files: local files by their path in the repository.
        texts: further files by their path, as text.
        license: licence of the pictures among the files; None if there are none.
        left_out: files that are not sent, each with the reason.
    """

    kind: Kind
    files: dict[str, Path]
    texts: dict[str, str]
    license: str | None = None
    left_out: tuple[str, ...] = ()

    def require_kind(self, repository: Repository) -> None:
        """Raises InputError if a repository is of another kind."""
        if repository.kind != self.kind:
            raise InputError(f"{repository}: this is a {self.kind}, and that a {repository.kind} repository")


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """Where something was sent: the repository, with its revision, and the address of the commit."""

    repository: Repository
    commit: str


def may_be_passed_on(license: str) -> bool:
    """Returns whether a licence, in the words of a dataset, is known to let others pass its data on."""
    return all(_FREE.search(part) and not _BUT.search(part) for part in license.split(";"))


def parcel_of(folder: Path) -> Parcel:
    """Lists what is sent of a folder.

    Raises:
        InputError: the folder is no dataset, no finished run and no exported model, or a file is missing.
    """
    if (folder / MANIFEST).is_file():
        return _dataset(folder)
    if (folder / RECORD).is_file():
        return _run(folder)
    if any((folder / name).is_file() for name in DESCRIPTIONS) and (folder / CARD).is_file():
        return _export(folder)
    raise InputError(
        f"{folder}: no dataset ({MANIFEST}), no run ({RECORD}) and no exported model ({DESCRIPTIONS[0]}); "
        "give the folder that `aims convert`, `aims run` or `aims export-model` wrote"
    )


def push(
    parcel: Parcel,
    name: str,
    *,
    revision: str | None = None,
    public: bool = False,
    despite_license: bool = False,
) -> Pushed:
    """Sends files to a repository of the Hub in one commit, after their contents.

    The contents of large files are stored before the commit that names them, so that a reader sees the old
    state or the new one, and never a part; contents that the Hub holds already are not sent again.

    Args:
        parcel: what to send.
        name: "owner/name" of the repository, which is made unless it is there.
        revision: branch, which is made unless it is there; None for the main branch.
        public: whether a new repository is public.
        despite_license: whether pictures are sent to a private repository although their licence is not known
            to let them be passed on.

    Raises:
        InputError: the licence forbids it, or the name has another form.
        AimsError: the Hub refuses, or cannot be reached.
    """
    repository = Repository(kind=parcel.kind, name=name, revision=revision)
    _require_license(parcel, public, despite_license)
    with hub_errors(repository) as hub, warnings.catch_warnings():
        # The scores of a run are Parquet, which the package takes for a misplaced dataset.
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        api = hub.HfApi(endpoint=endpoint())
        api.create_repo(name, repo_type=parcel.kind, private=not public, exist_ok=True)
        private = api.repo_info(name, repo_type=parcel.kind).private
        # A repository that is there keeps its visibility.
        _require_license(parcel, not private, despite_license)
        if revision is not None:
            api.create_branch(name, repo_type=parcel.kind, branch=revision, exist_ok=True)
        there = api.list_repo_files(name, repo_type=parcel.kind, revision=revision)
        contents = {**parcel.files, **{path: text.encode() for path, text in parcel.texts.items()}}
        # Shards of an earlier state of the set, which its card would name as well.
        stale = [path for path in there if path not in contents and _SHARD.fullmatch(path)]
        commit = api.create_commit(
            name,
            [hub.CommitOperationAdd(path, content) for path, content in contents.items()]
            + [hub.CommitOperationDelete(path) for path in stale],
            commit_message="Push from AIMS",
            repo_type=parcel.kind,
            revision=revision,
        )
    return Pushed(repository=repository, commit=str(commit.commit_url))


def _require_license(parcel: Parcel, public: bool, despite_license: bool) -> None:
    if parcel.license is None or may_be_passed_on(parcel.license) or (despite_license and not public):
        return
    advice = "--despite-licence sends it to a private repository of your own"
    if despite_license:
        advice = "a public repository needs a licence that does"
    raise InputError(
        f"the licence, {parcel.license!r}, is not known to let others pass the recordings on; {advice}"
    )


def _dataset(folder: Path) -> Parcel:
    manifest = read_manifest(folder / MANIFEST)
    names = [*manifest.files, _DROPPED, CARD, MANIFEST]
    files = {name: inside(folder, name, where=str(folder / MANIFEST)) for name in names}
    for path in files.values():
        if not own_file(path, folder).is_file():
            raise InputError(f"{path}: missing; bring it back, or convert the dataset again")
    return Parcel(kind="dataset", files=files, texts={}, license=manifest.dataset.license)


def _export(folder: Path) -> Parcel:
    safe = {path for pattern in SAFE for path in folder.rglob(pattern)}
    files: dict[str, Path] = {}
    left_out: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        if path in safe:
            files[name] = own_file(path, folder)
        else:
            left_out.append(f"{name}: not of a kind that is sent (docs/hub.md)")
    if not any(name.endswith(_WEIGHTS) for name in files):
        raise InputError(
            f"{folder}: holds no weights of a kind that is sent ({', '.join(_WEIGHTS)}); `aims export-model` "
            "writes them with --format sam, onnx or transformers"
        )
    return Parcel(kind="model", files=files, texts={}, left_out=tuple(left_out))


def _run(folder: Path) -> Parcel:
    record = RunRecord.load(folder)
    facts = record.content.dataset
    license = facts.license if facts and isinstance(facts.license, str) else "not known here"
    free = may_be_passed_on(license)
    names = [*_RUN_FILES, *([SAMPLES] if free else [])]
    files = {name: folder / name for name in names if own_file(folder / name).is_file()}
    left_out = () if free else (f"{SAMPLES}: it shows recordings, whose licence is {license!r}",)
    return Parcel(
        kind="model",
        files=files,
        texts={CARD: run_card(record, license), RECORD: portable_record(folder)},
        left_out=left_out,
    )
