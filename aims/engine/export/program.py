"""Format "torch", programs of torch.export, and what it shares with other traced formats.

encoder.pt2   raw recordings to image embeddings
decoder.pt2   embeddings and prompts to masks
"""

from __future__ import annotations

import io
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from aims.core.files import naming
from aims.engine.export import probes
from aims.engine.export.description import describe_input
from aims.engine.export.formats import DIFFERENCES, FORMATS, Format, Origin
from aims.engine.export.graph import (
    DECODER_INPUTS,
    DECODER_OUTPUTS,
    ENCODER_OUTPUTS,
    encoder_inputs,
    graph_objection,
    mask_input_side,
    trace,
)
from aims.models.segmenter import Segmenter

#: A written program: inputs by name to outputs in their order.
Runnable = Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]


class TracedFormat(Format):
    """Base of formats that hold a traced encoder and a traced decoder, each in a file."""

    def objection(self, origin: Origin, shapes: Segmenter) -> str | None:
        """Refuses what cannot be traced."""
        return graph_objection(origin, shapes)

    @abstractmethod
    def save(self, path: Path, program: ExportedProgram, inputs: list[str], outputs: list[str]) -> None:
        """Writes a program; `path` has no suffix yet."""

    @abstractmethod
    def load(self, path: Path) -> Runnable:
        """Loads what `save` wrote, by what the card names."""

    @torch.no_grad()
    def write(self, folder: Path, origin: Origin, model: Segmenter) -> dict[str, Any]:
        """Writes both programs, and runs them as they are written."""
        given, prompts, side = describe_input(origin), probes.random_prompts(model), mask_input_side(model)
        recording = probes.random_recording(given)
        images = probes.model_input(origin, recording, model.image_size)
        expected = probes.answers(model, images, prompts)
        programs = dict(zip(("encoder", "decoder"), trace(origin, model), strict=True))
        names = {
            "encoder": {"inputs": encoder_inputs(given), "outputs": list(ENCODER_OUTPUTS)},
            "decoder": {"inputs": list(DECODER_INPUTS), "outputs": list(DECODER_OUTPUTS)},
        }
        for name in programs:
            self.save(folder / name, programs[name], **names[name])
        encode, decode = (self.load(folder / name) for name in programs)
        (embeddings,) = encode(probes.encoder_tensors(given, recording))
        decoded = [decode(probes.decoder_tensors(embeddings, each, side)) for each in prompts]
        return {
            "programs": names,
            "half": origin.half,
            "mask_input_size": side,
            DIFFERENCES: expected.differences(probes.collect(embeddings, decoded)),
        }


class TorchFormat(TracedFormat):
    """Programs of torch.export."""

    requires = ("torch",)
    # It runs what a file asks for: parts of it can be pickles, and sizes are expressions that are evaluated.
    reader = "torch.export.load, which is not safe on files of others"

    def save(self, path: Path, program: ExportedProgram, inputs: list[str], outputs: list[str]) -> None:
        """Writes the program; its inputs are positional."""
        # The examples would be saved with torch's own pickles beside the weights.
        program.example_inputs = None
        # In memory first: torch ends the process where it cannot write to a file.
        content = io.BytesIO()
        torch.export.save(program, content)
        with naming(path.with_suffix(".pt2")):
            path.with_suffix(".pt2").write_bytes(content.getbuffer())

    def load(self, path: Path) -> Runnable:
        """Loads the program."""
        module = torch.export.load(path.with_suffix(".pt2")).module()

        def run(inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            outputs = module(*inputs.values())
            return outputs if isinstance(outputs, tuple) else (outputs,)

        return run


FORMATS.register("torch")(TorchFormat())
