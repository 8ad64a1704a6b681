"""Adapters: a small MLP beside every MLP."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aims.core.errors import require_at_least_one
from aims.models.segmenter import Segmenter
from aims.models.trainable import FullyTrainable
from aims.models.tuning.base import TUNINGS, Tuning, find_layers, is_attention

SCALE = 0.1

#: Customary names of the norm before the MLP of a block, and those that only a two-way block has.
_NORMS = ("norm2", "layer_norm2")
_TWO_WAY = {"cross_attn_token_to_image", "cross_attn_image_to_token"}


@TUNINGS.register("adapter")
@dataclass(frozen=True, kw_only=True)
class AdapterTuning(Tuning):
    """A bottleneck beside the MLP of every transformer block, encoder and decoder.

    Chen et al., "AdaptFormer" (NeurIPS 2022). It reads what the norm before the MLP reads, as in SimCMF's
    released program (protocol.md, item 10): in an image encoder the residual stream, in a mask decoder the
    queries before `norm2`, while the MLP reads them after it. AdaptFormer's text has the bottleneck read what
    the norm returns. The decoder's heads (hypernetworks, predicted IoU) are not blocks and get no adapter.

    Attributes:
        bottleneck: width; 200 gives the counts of the SimCMF paper's Table 4 (3.9 M for ViT-B).
    """

    bottleneck: int = 200

    def __post_init__(self) -> None:
        require_at_least_one(bottleneck=self.bottleneck)

    def apply(self, model: Segmenter) -> None:
        """Inserts the adapters into the blocks.

        In an encoder, whose blocks add the MLP's output to what the norm before it reads, the MLP is
        replaced, and the keys `norm2.*` and `mlp.*` of a block become `mlp.norm.*` and `mlp.mlp.*`. A two-way
        block of SAM's mask decoders keeps its keys and gets `adapter.*`.
        """
        for _, _, block in find_layers(model, _is_block, "MLP in a transformer block"):
            children = dict(block.named_children())
            if children.keys() >= _TWO_WAY:
                model.adapt_two_way_block(block, adapter_beside(children["mlp"], self.bottleneck))
                continue
            name = next((name for name in _NORMS if name in children), None)
            norm = None if name is None else children[name]
            block.mlp = AdaptedMLP(children["mlp"], norm=norm, bottleneck=self.bottleneck)
            if name is not None:
                setattr(block, name, nn.Identity())


def _is_block(module: nn.Module) -> bool:
    """Whether a module is a transformer block: it has attentions and an `mlp` with linear layers."""
    children = dict(module.named_children())
    return "mlp" in children and bool(_linears(children["mlp"])) and any(map(is_attention, children.values()))


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


class AdaptedMLP(nn.Module):
    """An MLP, the norm before it if there is one, and an adapter beside both: mlp(norm(x)) + adapter(x).

    Args:
        mlp: the MLP.
        norm: normalisation before the MLP, or None.
        bottleneck: width of the adapter.
    """

    def __init__(self, mlp: nn.Module, *, norm: nn.Module | None, bottleneck: int) -> None:
        super().__init__()
        self.norm = nn.Identity() if norm is None else norm
        self.mlp = mlp
        self.adapter = adapter_beside(mlp, bottleneck)

    def forward(self, stream: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Computes what the block adds to the residual stream."""
        result: Tensor = self.mlp(self.norm(stream)) + self.adapter(stream)
        return result


def adapter_beside(mlp: nn.Module, bottleneck: int) -> Adapter:
    """Makes an adapter with the input and output width of an MLP."""
    linears = _linears(mlp)
    return Adapter(linears[0].in_features, linears[-1].out_features, bottleneck=bottleneck)


class Adapter(FullyTrainable):
    """0.1 * up(relu(down(x))), zero at the start.

    Weights as in AdaptFormer's program: down is Kaiming-uniform with a bias of zero, up is zero. Its dropout
    inside the bottleneck is not in SimCMF's, and not here.

    Args:
        inputs: width of x.
        outputs: width of the result.
        bottleneck: width in between.
    """

    def __init__(self, inputs: int, outputs: int, *, bottleneck: int) -> None:
        super().__init__()
        self.down = nn.Linear(inputs, bottleneck)
        self.up = nn.Linear(bottleneck, outputs)
        # The weight keeps nn.Linear's own initialisation, which is AdaptFormer's.
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, stream: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Computes the update."""
        result: Tensor = SCALE * self.up(functional.relu(self.down(stream)))
        return result
