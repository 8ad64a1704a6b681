"""The base class of foundation models at one size, and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from aims.core.registry import Registry
from aims.models.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The authors' file of pretrained weights.

    Attributes:
        file_name: its name on the authors' server.
        size_bytes: its size, for the message about a truncated file.
        sha256: its checksum, in hexadecimal.
    """

    file_name: str
    size_bytes: int
    sha256: str


class Backbone(ABC):
    """A promptable foundation model at one size. Subclasses hold its hyper-parameters.

    Methods and tunings rely on the form of `build`'s model: a `Segmenter` around an `ImageEncoder`
    (`embed`, `blocks`, `neck`), a prompt encoder and a mask decoder. A tuning finds the layers that it
    changes by the names that the field gives them (`aims.models.tuning.base`), and refuses a backbone that
    has none.

    Attributes:
        image_size: side of the square model input, in pixels.
        checkpoint: the authors' pretrained weights; None if there are none.
    """

    image_size: int
    checkpoint: Checkpoint | None = None

    @property
    @abstractmethod
    def mask_size(self) -> int:
        """Side of the square mask logits, in pixels."""

    @abstractmethod
    def build(self) -> Segmenter:
        """Builds the plain model for three channels, its weights drawn from torch's generator.

        Below `torch.device("meta")` names and shapes alone are built.
        """

    def initialize(self, model: Segmenter) -> None:  # noqa: B027  (most backbones need nothing)
        """Changes the weights of a plain model so that training can start from them; nothing by default."""


BACKBONES = Registry[Backbone]("backbone")
