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
        file_name: name on the authors' server.
        size_bytes: size in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
    """

    file_name: str
    size_bytes: int
    sha256: str


class Backbone(ABC):
    """A promptable foundation model at one size. Subclasses hold its hyper-parameters.

    Methods and tunings rely on the structure of the model from `build`: a `Segmenter` with an `ImageEncoder`
    (`embed`, `blocks`, `neck`), a prompt encoder and a mask decoder. A tuning finds the layers that it
    changes by their customary names, such as `qkv` (`aims.models.tuning.base`), and refuses a backbone
    without such layers.

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
        """Builds the plain model for three channels, with random weights from torch's generator.

        Under `torch.device("meta")` the tensors have names and shapes, but no data.
        """

    def initialize(self, model: Segmenter) -> None:  # noqa: B027  (most backbones need nothing)
        """Reinitialises a plain model with random weights that train well; does nothing by default."""


BACKBONES = Registry[Backbone]("backbone")
