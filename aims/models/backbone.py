"""The base class of foundation models at one size, and their registry."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from aims.core.errors import InputError, unknown_name
from aims.core.normalisation import IMAGENET, Constants
from aims.core.registry import Registry
from aims.models.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The authors' file of pretrained weights.

    Attributes:
        file_name: name on the authors' server.
        size_bytes: size in bytes.
        sha256: SHA-256 of the file, in hexadecimal.
        address: address of the folder on that server, which ends in a slash.
        license: licence of the weights, by its SPDX name.
        authors: whose it is, in words.
    """

    file_name: str
    size_bytes: int
    sha256: str
    address: str
    license: str
    authors: str


class Backbone(ABC):
    """A promptable foundation model at one size. Subclasses hold its hyper-parameters.

    Methods and tunings rely on the model from `build`: a `Segmenter`, whose `ImageEncoder` names the
    convolution through which channels enter. A tuning finds the layers that it changes by their customary
    names, such as `qkv` (`aims.models.tuning.base`), and refuses a backbone without such layers. Images are
    stretched to the model's input for every backbone, as the protocols say.

    Attributes:
        image_size: side of the square model input, in pixels.
        checkpoint: the authors' pretrained weights; None if there are none.
        exports: formats of `aims export-model`, of which the first that can hold a model is the default.
        rgb: mean and standard deviation of RGB that the weights expect.
    """

    image_size: int
    checkpoint: Checkpoint | None = None
    exports: ClassVar[tuple[str, ...]] = ("sam", "torch")
    rgb: Constants = IMAGENET

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

    def build_blank(self) -> Segmenter:
        """Builds the plain model for a state to be loaded into: without data, on the device "meta".

        A model with buffers that no file holds is built as a whole, since they are computed then.
        """
        with torch.device("meta"):
            made = self.build()
        held = made.state_dict()
        return made if all(name in held for name, _ in made.named_buffers()) else self.build()

    def find_weights(self) -> Path | None:
        """Returns the file of weights that lies beside the backbone's own description; None if none does."""
        return None

    def convert_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the tensors of the authors' file under the names that they have in the model."""
        return dict(state)


class BackboneRegistry(Registry[Backbone]):
    """The registered backbones, the variants of those that are dataclasses, and those that are opened.

    `NAME:FIELD=VALUE,...` is the backbone with other hyper-parameters, e.g.
    "sam-tiny:image_size=256,patch_size=16" or "sam-tiny:depth=4,global_blocks=1+3"; it has no weights of its
    own. A variant has one spelling, by which records know it. `KIND:WHERE` is opened by the function of the
    kind, e.g. "hf:facebook/sam2.1-hiera-tiny". Only registered names are iterated over.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._openers: dict[str, Callable[[str], Backbone]] = {}

    def open_with(self, kind: str, opener: Callable[[str], Backbone]) -> None:
        """Has the backbones `KIND:WHERE` opened by a function of WHERE."""
        self._openers[kind] = opener

    def is_opened(self, name: str) -> bool:
        """Whether a name is that of a backbone which is opened: its files may be elsewhere, or missing."""
        kind, colon, _ = name.partition(":")
        return bool(colon) and kind in self._openers

    def __getitem__(self, name: str) -> Backbone:
        base, colon, changes = name.partition(":")
        if self.is_opened(name):
            return self._openers[base](changes)
        found = super().__getitem__(base)
        return _variant(name, base, found, changes) if colon else found

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str) or ":" not in name:
            return super().__contains__(name)
        if self.is_opened(name):
            # Nothing is read or fetched only to know.
            return True
        try:
            self[name]
        except InputError:
            return False
        return True


def _variant(name: str, base: str, backbone: Backbone, text: str) -> Backbone:
    values = _numbers(backbone)
    changed: dict[str, int | tuple[int, ...]] = {}
    for part in text.split(","):
        field, _, value = part.partition("=")
        if field not in values:
            raise unknown_name("field", field, values, where=f"backbone {name!r}")
        try:
            numbers = tuple(int(number) for number in value.split("+"))
        except ValueError:
            raise InputError(f"backbone {name!r}: {field} is {value!r}, not a whole number") from None
        several = isinstance(values[field], tuple)
        if len(numbers) > 1 and not several:
            raise InputError(f"backbone {name!r}: {field} is one number, not {value!r}")
        changed[field] = numbers if several else numbers[0]
    # In the order of the class, without what is not changed.
    kept = {field: changed[field] for field in values if changed.get(field, values[field]) != values[field]}
    canonical = ":".join(filter(None, (base, ",".join(f"{key}={_text(kept[key])}" for key in kept))))
    if canonical != name:
        raise InputError(f"backbone {name!r}: write it {canonical!r}, so that every record names it alike")
    # Any: the base class is no dataclass.
    changing: Any = backbone
    # The authors' weights are of their architecture alone.
    others = {} if backbone.checkpoint is None else {"checkpoint": None}
    try:
        varied: Backbone = dataclasses.replace(changing, **kept, **others)
        return varied
    except InputError as error:
        raise InputError(f"backbone {name!r}: {error}") from None


def _numbers(backbone: Backbone) -> dict[str, int | tuple[int, ...]]:
    """Returns the hyper-parameters of a backbone that is a dataclass; of others there are no variants."""
    if not dataclasses.is_dataclass(backbone):
        return {}
    found = {field.name: getattr(backbone, field.name) for field in dataclasses.fields(backbone)}
    return {name: value for name, value in found.items() if isinstance(value, (int, tuple))}


def _text(value: int | tuple[int, ...]) -> str:
    return "+".join(map(str, value)) if isinstance(value, tuple) else str(value)


BACKBONES = BackboneRegistry("backbone")


def require_positive(sizes: object) -> None:
    """Requires the whole numbers of a dataclass to be at least 1.

    Raises:
        InputError: one is not; the message names it.
    """
    for name, value in vars(sizes).items():
        if isinstance(value, int) and value < 1:
            raise InputError(f"{name} must be at least 1, not {value}")


def require_multiple(name: str, value: int, of: int, what: str = "") -> None:
    """Requires a size to be a multiple of another.

    Args:
        name: what the size is called.
        value: the size, at least 1.
        of: the other.
        what: how the other is called; empty for its number alone.

    Raises:
        InputError: it is none.
    """
    if value % of:
        raise InputError(f"{name} {value} is no multiple of {what or of}")
