"""LoRA: low-rank updates of attention projections."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from aims.core.errors import require_at_least_one
from aims.models.segmenter import Segmenter
from aims.models.tuning.base import TUNINGS, Tuning, find_layers, is_attention, is_fused_attention


@TUNINGS.register("lora")
@dataclass(frozen=True, kw_only=True)
class LoRATuning(Tuning):
    """Low-rank updates of the query and value projections of every attention, encoder and decoder.

    Attributes:
        rank: 100 gives the counts of the SimCMF paper's Table 4 (4.3 M for ViT-B).
    """

    rank: int = 100

    def __post_init__(self) -> None:
        require_at_least_one(rank=self.rank)

    def apply(self, model: Segmenter) -> None:
        """Replaces the projections; their own weights keep their names and stay frozen."""
        for _, _, attention in find_layers(model, is_attention, "attention"):
            update_projections(attention, self.rank)


def update_projections(attention: nn.Module, rank: int) -> None:
    """Replaces the query and value projections of an attention of either form by `LoRALinear`."""
    if is_fused_attention(attention):
        qkv = attention.get_submodule("qkv")
        assert isinstance(qkv, nn.Linear)
        # The fused projection's rows are queries, then keys, then values: of all heads, or of each in turn.
        groups = getattr(attention, "qkv_groups", 1)
        dim = qkv.out_features // (3 * groups)
        queries_and_values = (slice(0, dim), slice(2 * dim, 3 * dim))
        attention.qkv = LoRALinear(qkv, rank=rank, outputs=queries_and_values, groups=groups)
    else:
        for name in ("q_proj", "v_proj"):
            linear = attention.get_submodule(name)
            assert isinstance(linear, nn.Linear)
            setattr(attention, name, LoRALinear(linear, rank=rank, outputs=(slice(None),)))


class LoRALinear(nn.Linear):
    """A linear layer with trainable low-rank updates of output slices s: y[s] = (W[s] + B A) x + b[s].

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), with scaling 1. B is zero at
    the start, so that the layer initially equals the one it replaces. `weight` and `bias` keep their names.

    Args:
        linear: the layer to replace; its parameters are reused, not copied.
        rank: rows of A, columns of B.
        outputs: slices of the output that get an update each, e.g. queries and values of a fused projection.
        groups: number of groups of equal size into which the output is divided; the slices are of each.
    """

    def __init__(self, linear: nn.Linear, *, rank: int, outputs: tuple[slice, ...], groups: int = 1) -> None:
        # On the meta device, since both parameters are replaced at once: no memory, no random numbers.
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight = linear.weight
        self.bias = linear.bias
        self.outputs = outputs
        self.groups = groups
        widths = [groups * len(range(self.out_features // groups)[rows]) for rows in outputs]
        self.lora_a = nn.ParameterList(linear.weight.new_empty(rank, self.in_features) for _ in outputs)
        self.lora_b = nn.ParameterList(linear.weight.new_zeros(width, rank) for width in widths)
        for matrix in self.lora_a:
            nn.init.kaiming_uniform_(matrix, a=math.sqrt(5))

    def forward(self, input: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """Applies the layer, with the updates folded into the weight where that costs less."""
        if not torch.is_grad_enabled() or self._folding_pays(input.numel() // self.in_features):
            return functional.linear(input, self.folded_weight(), self.bias)
        result = functional.linear(input, self.weight, self.bias)
        for rows, down, up in zip(self.outputs, self.lora_a, self.lora_b, strict=True):
            update = functional.linear(functional.linear(input, down), up)
            grouped = result.view(*result.shape[:-1], self.groups, -1)
            grouped[..., rows].add_(update.view(*update.shape[:-1], self.groups, -1))
        return result

    def _folding_pays(self, tokens: int) -> bool:
        """Whether a training step costs less with the updates folded.

        A trained product costs three products: forward, and backward for either factor. Folding saves the
        products of inputs with A and B, but needs the product B A and the gradient of the whole weight.
        """
        rank, widths = len(self.lora_a[0]), [len(matrix) for matrix in self.lora_b]
        low_rank = 3 * rank * sum(self.in_features + width for width in widths) * tokens
        folded = self.in_features * (self.out_features * tokens + 3 * rank * sum(widths))
        return folded < low_rank

    def folded_weight(self) -> Float[Tensor, "outputs inputs"]:
        """Returns the weight of the equivalent plain linear layer."""
        weight = self.weight.clone()
        for rows, down, up in zip(self.outputs, self.lora_a, self.lora_b, strict=True):
            grouped = weight.view(self.groups, -1, self.in_features)
            grouped[:, rows].add_((up @ down).view(self.groups, -1, self.in_features))
        return weight

    def trainable_params(self) -> list[str]:
        """Names of A and B of every update, without `weight` and `bias`."""
        return [f"{kind}.{index}" for kind in ("lora_a", "lora_b") for index in range(len(self.outputs))]
