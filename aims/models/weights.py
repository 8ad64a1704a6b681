"""Finding and reading of pretrained weights; code in pickled files is never executed."""

from __future__ import annotations

import os
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from aims.core.errors import InputError
from aims.core.files import sha256_file
from aims.models.backbone import BACKBONES, Checkpoint
from aims.models.trainable import require_match

#: Weights that come with AIMS: one folder per backbone, as `aims pretrain` writes it, with its model card.
PACKAGED = Path(__file__).parent / "pretrained"

#: The licence of the authors' code and weights alike.
LICENSE = "Apache-2.0"

#: The licence of the weights that come with AIMS, which is that of AIMS.
PACKAGED_LICENSE = "Apache-2.0"

_ALTERNATIVES = "give a file with --weights PATH, or --weights none for random weights (recorded as random)"


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """The content of a verified file of weights.

    Attributes:
        state: tensors by the plain SAM's names; they may be mapped from the file and must not be changed.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    state: Mapping[str, Tensor]
    sha256: str


def weights_folder() -> Path:
    """Returns the folder of downloaded weights, below $AIMS_CACHE or else the user's cache folder."""
    cache = os.environ.get("AIMS_CACHE")
    return (Path(cache) if cache else platformdirs.user_cache_path("aims")) / "weights"


def packaged_weights(backbone: str) -> Path | None:
    """Returns the file of a backbone's weights that comes with AIMS; None where there is none."""
    path = PACKAGED / backbone / "weights.safetensors"
    return path if path.is_file() else None


def resolve_weights(backbone: str, path: Path | None) -> Path:
    """Finds the file of weights for a backbone.

    Args:
        backbone: name in `BACKBONES`.
        path: the file given by the user; None for the authors' file in `weights_folder()`, or for the one
            that comes with AIMS if the authors have none.

    Raises:
        InputError: there is no such file, or the backbone has no pretrained weights.
    """
    checkpoint = BACKBONES[backbone].checkpoint
    if path is not None:
        if not path.is_file():
            raise InputError(f"{path}: no such file of weights; {_ALTERNATIVES}")
        return path
    if checkpoint is None:
        packaged = packaged_weights(backbone)
        if packaged is not None:
            return packaged
        raise InputError(f"no pretrained weights of {backbone} exist yet; {_ALTERNATIVES}")
    cached = weights_folder() / checkpoint.file_name
    if not cached.is_file():
        raise InputError(
            f"{checkpoint.file_name}, the pretrained weights of {backbone}, is not in {cached.parent}; "
            f"fetch it with `aims weights {backbone}`, {_ALTERNATIVES}"
        )
    return cached


def load_weights(backbone: str, path: Path) -> LoadedWeights:
    """Reads weights of a plain SAM from a safetensors file or a PyTorch file, and checks them.

    A file with the name of one of the authors' files must be that file. Any other is accepted if it holds
    exactly the tensors of the plain model. Tensors in float16 are converted to float32.

    Raises:
        InputError: the file is not the one that it is named after, is damaged, holds anything but tensors,
            or its tensors do not fit the backbone.
    """
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in BACKBONES[backbone].build().state_dict().items()}
    try:
        sha256 = sha256_file(path)
    except OSError as error:
        raise InputError(f"{path}: not readable ({error.strerror}); {_ALTERNATIVES}") from None
    _require_authors_file(path, sha256)
    state = _read(path)
    require_match(shapes, state, source=f"{path} for {backbone}")
    # Shipped files are in half precision to be small; everything computes in float32.
    whole = {
        name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in state.items()
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
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Its advice on foreign pickles; the error says enough.
                # Only the zip format, the default since PyTorch 1.6, can be memory-mapped.
                mapped = zipfile.is_zipfile(path)
                state = torch.load(path, weights_only=True, map_location="cpu", mmap=mapped)
    except (pickle.UnpicklingError, SafetensorError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise InputError(
            f"{path}: refused: it is damaged, or it holds more than tensors and would run code when read "
            f"({_first_line(error)})"
        ) from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise InputError(f"{path}: refused: not a dictionary of tensors by name, as `state_dict()` gives it")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
