"""Finding and reading of pretrained weights; code in pickled files is never executed."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from torch import Tensor

from aims.core.errors import InputError
from aims.core.files import cache_folder, sha256_file
from aims.core.structs import Digest, read_struct
from aims.models.backbone import BACKBONES, Checkpoint
from aims.models.trainable import require_finite, require_match

#: Weights that come with AIMS: a folder NAME@EDITION for each, as `aims pretrain` writes it.
PACKAGED = Path(__file__).parent / "pretrained"

#: The licence of the weights that come with AIMS, which is that of AIMS.
PACKAGED_LICENSE = "Apache-2.0"

_FILE, _CARD = "weights.safetensors", "card.json"
_ALTERNATIVES = "give a file with --weights PATH, or --weights none for random weights (recorded as random)"


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """The content of a verified file of weights.

    Attributes:
        state: tensors by the plain model's names; they may be mapped from the file and must not be changed.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    state: Mapping[str, Tensor]
    sha256: str


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """Weights that come with AIMS.

    Attributes:
        name: name that all editions share, e.g. "sam-tiny".
        edition: number of the edition, from 1.
        backbone: name in `BACKBONES` of the architecture.
        path: the file, beside its model card.
        sha256: SHA-256 of the file by its card, in hexadecimal.
    """

    name: str
    edition: int
    backbone: str
    path: Path
    sha256: str

    @property
    def full_name(self) -> str:
        """Name of this edition, e.g. "sam-tiny@1"."""
        return f"{self.name}@{self.edition}"


class _CardWeights(msgspec.Struct):
    sha256: Digest


class _Card(msgspec.Struct):
    """The part of a model card that is read."""

    model: str
    weights: _CardWeights


def weights_folder() -> Path:
    """Returns the folder of downloaded weights, below $AIMS_CACHE or else the user's cache folder."""
    return cache_folder() / "weights"


def packaged_weights() -> list[PackagedWeights]:
    """Returns all weights that come with AIMS, by name and edition."""
    found = []
    for path in PACKAGED.glob(f"*@*/{_FILE}"):
        name, _, edition = path.parent.name.rpartition("@")
        card = read_struct(path.with_name(_CARD), _Card, what="a model card")
        found.append(
            PackagedWeights(
                name=name,
                edition=int(edition),
                backbone=card.model,
                path=path,
                sha256=card.weights.sha256,
            )
        )
    return sorted(found, key=lambda each: (each.name, each.edition))


def find_packaged(name: str, backbone: str | None = None) -> PackagedWeights | None:
    """Finds weights that come with AIMS: "sam-tiny@1" is the first edition, "sam-tiny" the newest.

    Args:
        name: name of the weights, with or without an edition.
        backbone: architecture that they must have; None for any.
    """
    named = [each for each in packaged_weights() if name in (each.name, each.full_name)]
    fitting = [each for each in named if backbone in (None, each.backbone)]
    # The newest edition comes last.
    return fitting[-1] if fitting else None


def packaged_name(sha256: str) -> str | None:
    """Returns the name and edition of the weights that come with AIMS and have this checksum, if any do."""
    return next((each.full_name for each in packaged_weights() if each.sha256 == sha256), None)


def resolve_weights(backbone: str, given: Path | str | None) -> Path:
    """Finds the file of weights for a backbone.

    Args:
        backbone: name in `BACKBONES`.
        given: a file, or the name of weights that come with AIMS; None for the file beside the backbone's
            description, for the authors' file in `weights_folder()`, or for the newest edition under the
            backbone's name that fits it.

    Raises:
        InputError: there is no such file, the named weights are those of another backbone, or the backbone
            has no pretrained weights.
    """
    architecture = BACKBONES[backbone]
    checkpoint = architecture.checkpoint
    if given is None and (own := architecture.find_weights()) is not None:
        return own
    if given is not None or checkpoint is None:
        if given is None:
            packaged = find_packaged(backbone.partition(":")[0], backbone)
        else:
            packaged = find_packaged(str(given))
        if packaged is not None:
            if packaged.backbone != backbone:
                raise InputError(
                    f"{packaged.full_name} are weights of {packaged.backbone}, not of {backbone}; take "
                    f"--backbone {packaged.backbone}, or {_ALTERNATIVES}"
                )
            return packaged.path
        if given is None:
            raise InputError(
                f"no pretrained weights of {backbone} come with AIMS or can be fetched; {_ALTERNATIVES}"
            )
        if not Path(given).is_file():
            shipped = ", ".join(each.full_name for each in packaged_weights())
            raise InputError(
                f"{given}: no such file of weights, nor a name of those that come with AIMS ({shipped}); "
                f"{_ALTERNATIVES}"
            )
        return Path(given)
    cached = weights_folder() / checkpoint.file_name
    if not cached.is_file():
        raise InputError(
            f"{checkpoint.file_name}, the pretrained weights of {backbone}, is not in {cached.parent}; "
            f"fetch it with `aims weights {backbone}`, {_ALTERNATIVES}"
        )
    return cached


def load_weights(backbone: str, path: Path) -> LoadedWeights:
    """Reads weights of a plain model from a safetensors file or a PyTorch file, and checks them.

    A file with the name of one of the authors' files must be that file. Any other is accepted if it holds
    exactly the tensors of the plain model. Tensors in half precision are converted to float32.

    Raises:
        InputError: the file is not the one that it is named after, is damaged, holds anything but tensors,
            or its tensors do not fit the backbone or hold other numbers than finite floating-point ones.
    """
    architecture = BACKBONES[backbone]
    with torch.device("meta"):
        expected = architecture.build().state_dict()
    try:
        sha256 = sha256_file(path)
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); {_ALTERNATIVES}") from None
    _require_authors_file(path, sha256)
    state = architecture.convert_state(_read(path))
    source = f"{path} for {backbone}"
    require_match({name: tensor.shape for name, tensor in expected.items()}, state, source=source)
    require_finite(expected, state, source=source)
    # Shipped files are in half precision to be small; everything computes in float32.
    whole = {
        name: tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
        for name, tensor in state.items()
    }
    return LoadedWeights(state=whole, sha256=sha256)


def _require_authors_file(path: Path, sha256: str) -> None:
    checkpoints: dict[str, Checkpoint] = {}
    for name in BACKBONES:
        checkpoint = BACKBONES[name].checkpoint
        if checkpoint is not None:
            checkpoints[checkpoint.file_name] = checkpoint
    expected = checkpoints.get(path.name)
    if expected is None or sha256 == expected.sha256:
        return
    raise InputError(
        f"{path}: not the authors' {expected.file_name}: {path.stat().st_size:,} bytes where theirs has "
        f"{expected.size_bytes:,}, SHA-256 {sha256} where theirs is {expected.sha256}; "
        "delete it and fetch it with `aims weights`, or rename a file of your own"
    )


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state: Any = load_file(path)
        else:
            _require_pytorch(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Its advice on foreign pickles; the error says enough.
                # Only the zip format, the default since PyTorch 1.6, can be memory-mapped.
                mapped = zipfile.is_zipfile(path)
                state = torch.load(path, weights_only=True, map_location="cpu", mmap=mapped)
    except (InputError, MemoryError):
        raise
    except Exception as error:  # bytes that are no pickle make torch's reader raise whatever comes of them
        raise InputError(
            f"{path}: refused: it is damaged, or it holds more than tensors and would run code when read "
            f"({_reason(error)})"
        ) from None
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        # Of programs that save more than the weights, e.g. EfficientSAM's.
        state = state["model"]
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"{path}: refused: not a dictionary of tensors by name, as `state_dict()` gives it")
    for name, tensor in state.items():
        if kind := _sparse_kind(tensor):
            raise InputError(f"{path}: refused: {name} is {kind}, not a dense tensor of numbers")
    return state


def _require_pytorch(path: Path) -> None:
    """Refuses what begins neither like a zip file nor like a pickle, such as a page that a server sent."""
    with path.open("rb") as file:
        begin = file.read(16)
    if begin and not begin.startswith((b"PK", b"\x80")):
        raise InputError(f"{path}: refused: no file of PyTorch; it begins with {begin!r}")


def _sparse_kind(tensor: Tensor) -> str:
    """Returns what a tensor is if it does not hold a number for each of its places; else ""."""
    if tensor.is_meta:
        return "a meta tensor"
    if tensor.is_quantized or tensor.is_nested:
        return "quantized" if tensor.is_quantized else "nested"
    return "" if tensor.layout is torch.strided else f"sparse ({str(tensor.layout).removeprefix('torch.')})"


def _reason(error: Exception) -> str:
    """Returns the line of an error that names the cause; torch's own begins with how to run the code."""
    found = re.search(r"WeightsUnpickler error: (.*)", str(error))
    return found[1] if found else (str(error).splitlines() or [type(error).__name__])[0]
