"""Conversion of a fine-tuned model to plain SAM weights and a separate alignment of stock layers."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.models.backbone import Backbone
from aims.models.features import average_views, maps_of
from aims.models.segmenter import Segmenter
from aims.models.trainable import require_match

#: Layers that `layer_source` supports; they can be built without AIMS.
_STOCK = (nn.Conv2d, nn.ReLU, nn.GELU, nn.Identity)


@runtime_checkable
class Foldable(Protocol):
    """A layer that is equivalent to a plain one with the folded weight and the layer's own `bias`."""

    def folded_weight(self) -> Tensor:
        """Returns the weight of the equivalent plain layer."""
        ...


@torch.no_grad()
def fold_layers(model: nn.Module) -> None:
    """Replaces every `Foldable` linear layer of a model by the equivalent plain one, in place."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, Foldable) and isinstance(layer, nn.Linear):
            plain = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
            plain.weight = nn.Parameter(layer.folded_weight(), requires_grad=False)
            plain.bias = layer.bias
            model.set_submodule(name, plain)


@torch.no_grad()
def folded_state(model: Segmenter) -> dict[str, Tensor]:
    """Collects a model's tensors without its alignment, with every `Foldable` layer folded.

    Returns:
        Tensors by name. Those that were not folded share the model's memory.
    """
    state = {name: t for name, t in model.state_dict().items() if not name.startswith("alignment.")}
    for prefix, layer in model.named_modules():
        if isinstance(layer, Foldable):
            plain = {f"{prefix}.weight", f"{prefix}.bias"}
            for name in [name for name in state if name.startswith(f"{prefix}.") and name not in plain]:
                del state[name]
            state[f"{prefix}.weight"] = layer.folded_weight()
    return state


def plain_model(model: Segmenter, backbone: Backbone) -> Segmenter:
    """Builds the backbone's plain model, without alignment, with a model's folded weights.

    Names and shapes of the folded tensors have to be the backbone's, but for the channels of the patch
    embedding. `largest_differences` checks that the outputs agree as well.

    Args:
        model: a model that was built from the backbone; on the meta device only names and shapes are checked.
        backbone: its backbone.

    Raises:
        InputError: folded tensors are missing in the plain model, or the other way round.
    """
    return plain_model_of(folded_state(model), backbone, source="its folded weights are not plain")


def plain_model_of(state: Mapping[str, Tensor], backbone: Backbone, *, source: str) -> Segmenter:
    """Builds the backbone's plain model, without alignment, around the tensors of one.

    Args:
        state: all tensors by name, which the model takes over; the patch embedding may be of other channels.
        backbone: the backbone.
        source: where the tensors come from, for the message.

    Raises:
        InputError: the tensors do not fit.
    """
    plain = backbone.build_blank()
    with plain.device:
        encoder = plain.image_encoder
        kernel = state.get(f"image_encoder.{encoder.stem_name}.weight", encoder.stem.weight)
        if kernel.ndim == 4 and kernel.shape[1] != encoder.stem.in_channels:
            encoder.renew_stem(kernel.shape[1])
            plain.in_channels = kernel.shape[1]
    shapes = {name: tensor.shape for name, tensor in plain.state_dict().items()}
    require_match(shapes, state, source=source)
    plain.load_state_dict(state, assign=True)
    return plain.eval()


@torch.no_grad()
def alignment_layers(model: Segmenter) -> nn.Sequential:
    """Converts a model's alignment to stock layers of torch; the result is empty if there is none.

    A module around one `nn.Sequential` of convolutions and activations gives that sequence. A module without
    parameters, which can only select or mix channels, becomes a 1 x 1 convolution whose weight is its output
    for one channel at a time; the output channels are the views of the image, one after the other.

    Raises:
        InputError: the alignment is of another kind.
    """
    alignment = model.alignment
    if isinstance(alignment, nn.Identity):
        return nn.Sequential()
    if not alignment.state_dict():
        return nn.Sequential(_as_convolution(alignment, model))
    inner = [alignment] if isinstance(alignment, nn.Sequential) else list(alignment.children())
    if len(inner) == 1 and isinstance(inner[0], nn.Sequential):
        layers = inner[0]
        if all(type(layer) in _STOCK for layer in layers) and len(layers.state_dict()) == len(
            alignment.state_dict()
        ):
            return layers
    raise InputError(
        f"its alignment module, {type(alignment).__name__}, is no sequence of convolutions that could be "
        "built without AIMS"
    )


def _as_convolution(alignment: nn.Module, model: Segmenter) -> nn.Conv2d:
    """Returns the 1 x 1 convolution that is equivalent to an alignment without parameters."""
    shape = (1, model.in_channels, model.image_size, model.image_size)
    zero: Tensor = alignment(torch.zeros(shape))[:, :, 0, 0].flatten()
    layer = nn.Conv2d(model.in_channels, len(zero), 1)
    assert layer.bias is not None
    layer.bias.copy_(zero)
    for channel in range(model.in_channels):
        image = torch.zeros(shape)
        image[:, channel] = 1
        layer.weight[:, channel, 0, 0] = alignment(image)[:, :, 0, 0].flatten() - zero
    return layer


@torch.no_grad()
def fold_alignment(alignment: nn.Sequential, patches: nn.Conv2d) -> nn.Conv2d | None:
    """Folds an alignment of one 1 x 1 convolution, or none at all, into the patch embedding after it.

    Returns:
        The convolution from images to tokens; None if the alignment is another.
    """
    if not len(alignment):
        return patches
    (layer, *more) = alignment
    if more or not isinstance(layer, nn.Conv2d) or layer.kernel_size != (1, 1):
        return None
    if layer.out_channels != patches.in_channels:
        return None
    side, stride = (patches.kernel_size[0], patches.kernel_size[1]), (patches.stride[0], patches.stride[1])
    folded = nn.Conv2d(layer.in_channels, patches.out_channels, side, stride=stride)
    folded.weight.copy_(torch.einsum("okhw,kc->ochw", patches.weight, layer.weight[:, :, 0, 0]))
    assert folded.bias is not None
    folded.bias.copy_(patches.bias if patches.bias is not None else torch.zeros_like(folded.bias))
    if layer.bias is not None:
        folded.bias.add_(torch.einsum("okhw,k->o", patches.weight, layer.bias))
    return folded


def count_views(alignment: nn.Sequential, plain: Segmenter) -> int:
    """Returns the number of encoder inputs that alignment layers make of one image."""
    channels = [layer.out_channels for layer in alignment if isinstance(layer, nn.Conv2d)]
    return channels[-1] // plain.in_channels if channels else 1


def layer_source(layer: nn.Module) -> str:
    """Returns the Python expression that builds a stock layer, with `torch.nn` imported as `nn`."""
    if not isinstance(layer, nn.Conv2d):
        return f"nn.{layer!r}"
    plain = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "padding_mode": "zeros"}
    values = {name: _short(getattr(layer, name)) for name in plain}
    words = [str(layer.in_channels), str(layer.out_channels), repr(_short(layer.kernel_size))]
    words += [f"{name}={value!r}" for name, value in values.items() if value != plain[name]]
    words += ["bias=False"] if layer.bias is None else []
    return f"nn.Conv2d({', '.join(words)})"


def layer_of(source: str) -> nn.Module:
    """Builds a stock layer from its expression (`layer_source`), of which nothing is run.

    Raises:
        ValueError, TypeError, SyntaxError: the expression builds no stock layer.
    """
    call = ast.parse(source, mode="eval").body
    kinds = {f"nn.{kind.__name__}": kind for kind in _STOCK}
    if not isinstance(call, ast.Call) or (name := ast.unparse(call.func)) not in kinds:
        raise ValueError(f"{source} is none of {', '.join(kinds)}")
    words = {word.arg or "**": ast.literal_eval(word.value) for word in call.keywords}
    return kinds[name](*map(ast.literal_eval, call.args), **words)


def _short(value: object) -> object:
    """Reduces a tuple of equal values to one of them: (3, 3) to 3."""
    return value[0] if isinstance(value, tuple) and len(set(value)) == 1 else value


def largest_differences(model: Segmenter, plain: Segmenter, alignment: nn.Sequential) -> dict[str, float]:
    """Compares a model with its plain model and alignment on one random image and click.

    The model runs with its layers not folded; afterwards none of its parameters requires a gradient.

    Returns:
        For "image_embeddings" and "mask_logits": the largest absolute difference, divided by the largest
        magnitude where that is above 1.
    """
    generator = torch.Generator().manual_seed(0)
    size = model.image_size
    images = torch.randn(1, model.in_channels, size, size, generator=generator)
    point_coords = torch.full((1, 1, 2), size / 3)
    point_labels = torch.ones(1, 1, dtype=torch.int64)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    # Gradients are enabled, as LoRA layers fold without them, which would compare folded with folded weights.
    with torch.enable_grad():
        features = model.embed(images)
        logits, _ = model.decode(features, point_coords, point_labels)
    with torch.no_grad():
        views: Tensor = alignment(images).reshape(-1, plain.in_channels, size, size)
        others = average_views(plain.embed(views), 1)
        other_logits, _ = plain.decode(others, point_coords, point_labels)
    pairs = zip(maps_of(features), maps_of(others), strict=True)
    return {
        "image_embeddings": max(largest_difference(*pair) for pair in pairs),
        "mask_logits": largest_difference(logits, other_logits),
    }


def largest_difference(one: Tensor, other: Tensor) -> float:
    """Returns the largest absolute difference, divided by the largest magnitude where that is above 1."""
    return float((one - other).abs().max() / one.abs().max().clamp(min=1))
