"""A backbone of transformers: its configuration, its weights and their names."""

from __future__ import annotations

import copy
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET, Constants
from aims.models.backbone import Backbone
from aims.models.hf.folder import WEIGHTS, Source
from aims.models.segmenter import Segmenter

if TYPE_CHECKING:
    from aims.models.hf.segmenter import HFSegmenter

_PARTS = ("vision_config", "prompt_encoder_config", "mask_decoder_config")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of model of transformers.

    Attributes:
        model: name of its class in transformers.
        config: name of the class of its configuration.
        vision: name of the class of its vision configuration: no other vision encoder is built.
        segmenter: name of its class in `aims.models.hf.segmenter`.
        shared: whether prompts and image share one positional encoding, which files hold twice.
        within: key of its configuration within that of a larger model.
        renamed: patterns of names in a file of a larger model, and what replaces them.
        rgb: what it expects of RGB pictures where no file says it.
    """

    model: str
    config: str
    vision: str
    segmenter: str
    shared: bool = False
    within: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    rgb: Constants = IMAGENET


_SAM2 = Kind(model="Sam2Model", config="Sam2Config", vision="Sam2VisionConfig", segmenter="Sam2Segmenter")
_SAM3 = Kind(
    model="Sam3TrackerModel",
    config="Sam3TrackerConfig",
    vision="Sam3VisionConfig",
    segmenter="Sam3Segmenter",
    # As transformers' own conversion: the vision encoder is the detector's, the neck the tracker's.
    renamed=(
        (r"^tracker_model\.", ""),
        (r"^detector_model\.vision_encoder\.backbone\.", "vision_encoder.backbone."),
        (r"^tracker_neck\.", "vision_encoder.neck."),
    ),
    rgb=Constants(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)),
)
#: By `model_type` of config.json. The authors' files of SAM 2 and SAM 3 are of video models that hold these.
KINDS: Mapping[str, Kind] = {
    "sam": Kind(
        model="SamModel",
        config="SamConfig",
        vision="SamVisionConfig",
        segmenter="SamSegmenter",
        shared=True,
    ),
    "sam_hq": Kind(
        model="SamHQModel",
        config="SamHQConfig",
        vision="SamHQVisionConfig",
        segmenter="SamHQSegmenter",
        shared=True,
    ),
    "sam2": _SAM2,
    "sam2_video": _SAM2,
    "sam3_tracker": _SAM3,
    "sam3_tracker_video": _SAM3,
    "sam3_video": replace(_SAM3, within="tracker_config"),
}

#: Entries of a configuration that say how a model is computed, not its form.
_HOW = ("attn_implementation", "auto_map", "dtype", "torch_dtype")
_SHARED, _OWN = "shared_image_embedding.positional_embedding", "shared_embedding.positional_embedding"


class HFBackbone(Backbone):
    """A SAM of transformers' own classes; nothing of its repository is run, and weights are safetensors only.

    Args:
        source: where configuration and weights lie.
        config: transformers' configuration.
        kind: the kind of the model.
    """

    exports = ("transformers",)

    def __init__(self, source: Source, config: Any, kind: Kind) -> None:
        self.source = source
        self.config = config
        self.kind = kind
        self.image_size = int(config.prompt_encoder_config.image_size)
        self.rgb = source.rgb() or kind.rgb

    @classmethod
    def open(cls, where: str) -> HFBackbone:
        """Reads the configuration of a model.

        Args:
            where: a folder, or "owner/name" of a repository of the Hub.

        Raises:
            InputError: transformers is not installed, there is no such model, or it is of an unknown kind.
        """
        if importlib.util.find_spec("transformers") is None:
            raise InputError(f"--backbone hf:{where} needs transformers: pip install 'aims-bench[hf]'")
        source = Source(where)
        content = source.config()
        name = content.get("model_type")
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            raise InputError(
                f"hf:{where}: a model of type {name!r}; AIMS takes {', '.join(KINDS)}, and "
                "docs/extending.md shows how another kind is added"
            )
        return cls(source, _configuration(where, content, kind), kind)

    @property
    def mask_size(self) -> int:
        """Side of the square mask logits: four pixels a side for every token that is prompted."""
        return 4 * self.image_size // int(self.config.prompt_encoder_config.patch_size)

    def build(self) -> Segmenter:
        """Builds the model with transformers' own initialisation."""
        return self.take_apart(self._class()(self.config))

    def take_apart(self, model: Any) -> Segmenter:
        """Returns a model of transformers' class as a segmenter, around its modules."""
        return self._segmenter().of(model, self.image_size)

    def put_together(self, plain: Segmenter) -> Any:
        """Returns a plain model as one of transformers' class, whose answer is the mask that was trained."""
        config = copy.deepcopy(self.config)
        vision = config.vision_config
        getattr(vision, "backbone_config", vision).num_channels = plain.in_channels
        if hasattr(config.mask_decoder_config, "dynamic_multimask_via_stability"):
            config.mask_decoder_config.dynamic_multimask_via_stability = False
        model = self._class()(config)
        back = tuple((ours, theirs) for theirs, ours in self._segmenter().NAMES)
        state = {_renamed(name, back): tensor for name, tensor in plain.state_dict().items()}
        if self.kind.shared:
            state[_SHARED] = state[f"prompt_encoder.{_OWN}"]
        model.load_state_dict(state)
        return model

    def _class(self) -> Any:
        import transformers

        return getattr(transformers, self.kind.model)

    def _segmenter(self) -> type[HFSegmenter]:
        try:
            from aims.models.hf import segmenter
        except ImportError as error:
            raise InputError(
                f"hf:{self.source.name}: this version of transformers has not all that AIMS takes from it "
                f"({error}); pip install 'aims-bench[hf]'"
            ) from None
        found: type[HFSegmenter] = getattr(segmenter, self.kind.segmenter)
        return found

    def find_weights(self) -> Path:
        """Returns model.safetensors of the folder or the repository, which is fetched if it is not there."""
        return self.source.file(WEIGHTS)

    def convert_state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Renames transformers' tensors, without those that its class ignores, as of SAM 2's memory."""
        patterns = self._class()._keys_to_ignore_on_load_unexpected or ()
        ignored = [re.compile(pattern) for pattern in patterns]
        named = {_substituted(name, self.kind.renamed): tensor for name, tensor in state.items()}
        kept = {name: t for name, t in named.items() if not any(each.search(name) for each in ignored)}
        if self.kind.shared and _SHARED in kept:
            shared = kept.pop(_SHARED)
            kept.setdefault(f"prompt_encoder.{_OWN}", shared)
        names = self._segmenter().NAMES
        return {_renamed(name, names): tensor for name, tensor in kept.items()}


def _substituted(name: str, patterns: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in patterns:
        name = re.sub(pattern, replacement, name)
    return name


def _renamed(name: str, prefixes: tuple[tuple[str, str], ...]) -> str:
    for theirs, ours in prefixes:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _configuration(where: str, content: Mapping[str, Any], kind: Kind) -> Any:
    """Builds transformers' configuration from the parts of config.json that say the model's form."""
    import transformers

    content = content.get(kind.within) or {} if kind.within else content
    given = {part: _form(content[part]) for part in _PARTS if isinstance(content.get(part), Mapping)}
    try:
        config = getattr(transformers, kind.config)(**given)
        size = config.prompt_encoder_config.image_size
        vision = type(config.vision_config).__name__
    except Exception as error:  # transformers raises what its checks and its models happen to raise
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"hf:{where}: its config.json is none of {kind.model}: {reason}") from None
    if vision != kind.vision or not isinstance(size, int):
        raise InputError(
            f"hf:{where}: its vision encoder is of {vision} for inputs of {size}; AIMS takes {kind.vision} "
            "and square inputs"
        )
    return config


def _form(value: Any) -> Any:
    """Returns a part without entries that choose how it is computed, such as code of another repository."""
    if not isinstance(value, Mapping):
        return value
    kept = {name: each for name, each in value.items() if name not in _HOW and not name.startswith("_")}
    return {name: _form(each) for name, each in kept.items()}
