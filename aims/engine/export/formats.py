"""The formats in which a model leaves AIMS: their base class and their registry."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from aims.core.errors import InputError
from aims.core.records import RunRecord
from aims.core.registry import Registry
from aims.models.backbone import Backbone
from aims.models.segmenter import Segmenter

#: Key of model.json under which a format puts the result of its comparison.
DIFFERENCES = "largest_differences"
#: Largest difference between the model and its export that counts as rounding.
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where an exported model comes from, and how it is wanted.

    Attributes:
        record: record of the run.
        backbone: backbone of the run.
        half: whether weights and products are float16, for formats with `halves`.
    """

    record: RunRecord
    backbone: Backbone
    half: bool = False


class Format(ABC):
    """Base of the entries of `FORMATS`.

    Attributes:
        requires: what the card's code needs, as `pip install` takes it.
        reader: what loads the files outside AIMS, for a message.
        extra: the extra of AIMS that writing needs; None for none.
        packages: the packages of the extra, under the names by which they are imported.
        halves: whether the format takes `Origin.half`.
    """

    requires: ClassVar[tuple[str, ...]]
    reader: ClassVar[str]
    extra: ClassVar[str | None] = None
    packages: ClassVar[tuple[str, ...]] = ()
    halves: ClassVar[bool] = False

    @abstractmethod
    def objection(self, origin: Origin, shapes: Segmenter) -> str | None:
        """Returns why a model cannot leave in this format; None if it can.

        Args:
            origin: where it comes from.
            shapes: the model on the meta device, as no weights have been read.
        """

    @abstractmethod
    def write(self, folder: Path, origin: Origin, model: Segmenter) -> dict[str, Any]:
        """Writes a model's files and compares them with the model.

        Args:
            folder: an empty folder.
            origin: where the model comes from.
            model: the model, which may be changed.

        Returns:
            The format's part of model.json. Its `DIFFERENCES` are the largest absolute differences of
            outputs, divided by the largest magnitude where that is above 1.
        """

    def tolerance(self, origin: Origin) -> float:
        """Returns the largest difference that counts as rounding."""
        return TOLERANCE


FORMATS = Registry[Format]("format")


def require_packages(name: str, chosen: Format) -> None:
    """Checks that what a format needs for writing is installed.

    Raises:
        InputError: it is not; the message names the extra to install.
    """
    missing = [package for package in chosen.packages if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"--format {name} needs {', '.join(missing)}: pip install 'aims-bench[{chosen.extra}]'"
        )
