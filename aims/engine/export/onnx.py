"""Format "onnx": the traced encoder and decoder as two ONNX models.

encoder.onnx   raw recordings to image embeddings
decoder.onnx   embeddings and prompts to masks

Weights beyond `_INLINE` bytes lie beside their model, as in encoder.onnx.data.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor
from torch.export import ExportedProgram

from aims.core.files import naming
from aims.engine.export.formats import FORMATS, TOLERANCE, Origin
from aims.engine.export.program import Runnable, TracedFormat

#: An ONNX file holds at most 2 GiB, graph and weights.
_INLINE = 2**31 - 2**26
#: The same for float16, whose numbers have 11 bits: rounding of about 5e-4 in every layer.
_HALF_TOLERANCE = 5e-2


class ONNXFormat(TracedFormat):
    """ONNX models, checked with onnxruntime."""

    requires = ("onnxruntime",)
    reader = "onnxruntime.InferenceSession"
    extra = "onnx"
    packages = ("onnx", "onnxruntime", "onnxscript")
    halves = True

    def tolerance(self, origin: Origin) -> float:
        """Returns the largest difference that counts as rounding."""
        return _HALF_TOLERANCE if origin.half else TOLERANCE

    def save(self, path: Path, program: ExportedProgram, inputs: list[str], outputs: list[str]) -> None:
        """Converts the program."""
        weights = sum(t.numel() * t.element_size() for t in program.state_dict.values())
        with _quiet(), naming(path.with_suffix(".onnx")):
            torch.onnx.export(
                program,
                f=path.with_suffix(".onnx"),
                input_names=inputs,
                output_names=outputs,
                external_data=weights > _INLINE,
                dynamo=True,
                verbose=False,
            )

    def load(self, path: Path) -> Runnable:
        """Loads the model into onnxruntime, on the CPU."""
        import onnxruntime

        session = onnxruntime.InferenceSession(path.with_suffix(".onnx"), providers=["CPUExecutionProvider"])

        def run(inputs: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
            outputs = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
            return tuple(torch.from_numpy(output) for output in outputs)

        return run


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides what torch's exporter says of itself: deprecations that it uses, and a missing torchvision."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


FORMATS.register("onnx")(ONNXFormat())
