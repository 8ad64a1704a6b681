"""A finished run's model in files that need no AIMS: weights of plain SAM, or programs, in several formats.

A folder holds the files of its format (`FORMATS`) and

model.json              everything else: preprocessing of raw values, hyper-parameters, scores, licences
README.md               a model card with a loading example
"""

from aims.engine.export import onnx, program, sam, transformers
from aims.engine.export.formats import FORMATS, Format
from aims.engine.export.sam import ALIGNMENT, MODEL
from aims.engine.export.writing import CARD, DESCRIPTION, ModelExport, export_model

__all__ = [
    "ALIGNMENT",
    "CARD",
    "DESCRIPTION",
    "FORMATS",
    "MODEL",
    "Format",
    "ModelExport",
    "export_model",
    # Imported as they register formats.
    "onnx",
    "program",
    "sam",
    "transformers",
]
