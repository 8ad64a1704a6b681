"""Loading an exported model again.

Only format "sam" is loaded: its weights are safetensors and its layers are data. What reads the others runs
what their files say (torch), or is no part of AIMS.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.core.records import Preprocessing
from aims.core.schema import StreamSpec
from aims.core.structs import read_struct
from aims.engine.checkpoint import load_tensors
from aims.engine.export.description import VERSION
from aims.engine.export.formats import FORMATS
from aims.engine.export.sam import ALIGNMENT, MODEL
from aims.engine.export.writing import CARD, DESCRIPTION
from aims.methods import BACKBONES
from aims.models.merging import layer_of, plain_model_of
from aims.models.segmenter import Segmenter
from aims.models.trainable import require_match


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """A stream in model.json; without `unit` its range is not known, as in exports of early runs."""

    name: str
    channels: int = 0
    unit: str | None = None
    valid_range: tuple[float, float] | None = None
    missing: float | None = None


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """How a recording becomes an input, in model.json."""

    channels: int
    streams: tuple[Stream, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    constants: str
    channel_order: tuple[int, ...]

    def preprocessing(self) -> Preprocessing:
        """Returns the preprocessing of the run."""
        return Preprocessing(
            streams=tuple(stream.name for stream in self.streams),
            mean=self.mean,
            std=self.std,
            source=self.constants,
            channel_order=self.channel_order,
        )

    def specs(self) -> dict[str, StreamSpec]:
        """Returns the streams whose range is known."""
        return {
            stream.name: StreamSpec(
                channels=stream.channels,
                unit=stream.unit,
                valid_range=stream.valid_range,
                missing=stream.missing,
            )
            for stream in self.streams
            if stream.unit is not None
        }


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What prediction needs of the run's configuration."""

    modality: str
    protocol: str
    precision: str


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """The content of model.json, as far as loading needs it."""

    version: int
    run: str
    backbone: str
    input: Input
    config: Configuration
    # Exports of early versions are of this one.
    format: str = "sam"
    alignment: tuple[str, ...] = ()
    views: Annotated[int, msgspec.Meta(ge=1)] = 1


def load_exported(folder: Path) -> tuple[Segmenter, Description]:
    """Loads a model that `export_model` wrote in format "sam", on the CPU.

    Raises:
        InputError: the format is another, or a file is missing, damaged or does not fit.
    """
    path = folder / DESCRIPTION
    said = read_struct(path, Description, what="the description of an exported model", newest=VERSION)
    if said.format != "sam":
        raise InputError(
            f"{folder}: exported as {said.format}, which is loaded by {FORMATS[said.format].reader} as its "
            f"{CARD} shows; AIMS loads a run, a submission with weights, or what `aims export-model --format "
            "sam` wrote"
        )
    model = plain_model_of(_tensors(folder / MODEL), BACKBONES[said.backbone], source=str(folder / MODEL))
    if said.alignment:
        model.alignment = _alignment(folder, said, model)
    elif said.input.channels != model.in_channels:
        raise InputError(
            f"{path}: {said.input.channels} channels, but {MODEL} takes {model.in_channels}; export the run "
            "again"
        )
    model.in_channels = said.input.channels
    model.path = "fast"
    return model.eval().requires_grad_(False), said


def _alignment(folder: Path, said: Description, model: Segmenter) -> nn.Sequential:
    """Builds the layers in front of SAM, and checks that they make its inputs of an image."""
    side = model.image_size
    try:
        with torch.device("meta"):
            layers = nn.Sequential(*map(layer_of, said.alignment))
            shapes = {name: tensor.shape for name, tensor in layers.state_dict().items()}
            if said.views > 1:
                # Views of an image are consecutive channels; the model expects them in the batch.
                layers.extend([nn.Unflatten(1, (said.views, model.in_channels)), nn.Flatten(0, 1)])
            made = layers(torch.empty(1, said.input.channels, side, side)).shape
        if made != (said.views, model.in_channels, side, side):
            raise ValueError(f"makes {tuple(made)} of an image")
    except (SyntaxError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"{folder / DESCRIPTION}: alignment: {reason}; export the run again") from None
    state = _tensors(folder / ALIGNMENT) if shapes else {}
    require_match(shapes, state, source=str(folder / ALIGNMENT))
    layers.load_state_dict(state, assign=True)
    return layers


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return {name: tensor.float() for name, tensor in load_tensors(path)[0].items()}
    except FileNotFoundError:
        raise InputError(f"{path}: missing; export the run again") from None
    except (OSError, SafetensorError):
        raise InputError(f"{path}: damaged; export the run again, or fetch it again") from None
