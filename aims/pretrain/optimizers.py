"""The optimizers of a pretraining: AdamW, or Muon for the matrices of linear layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from aims.core.errors import InputError
from aims.models.segmenter import Segmenter
from aims.pretrain.settings import RECIPE


def require_optimizer(name: str) -> None:
    """Raises InputError if this version of PyTorch lacks an optimizer of `OPTIMIZERS`."""
    if name == "muon" and not hasattr(torch.optim, "Muon"):
        raise InputError(
            f"--optimizer muon needs torch 2.9 or later, and this is torch {torch.__version__}; update "
            "torch, or leave --optimizer out"
        )


def make_optimizers(model: Segmenter, name: str, lr: float, *, fused: bool) -> list[torch.optim.Optimizer]:
    """Makes the optimizers that together train all parameters of a model.

    Muon (Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/; PyTorch's implementation) takes the
    weights of all linear layers. Its updates are scaled to the root mean square of AdamW's (Liu et al., 2025,
    arXiv 2502.16982), so that one learning rate serves both.

    Args:
        model: the model.
        name: "adamw" or "muon".
        lr: learning rate, which the caller changes in every step.
        fused: whether AdamW updates all parameters in one kernel, which a GPU can.
    """
    groups = parameter_groups(model, RECIPE.weight_decay)
    made: list[torch.optim.Optimizer] = []
    if name == "muon":
        matrices = [module.weight for module in model.modules() if isinstance(module, nn.Linear)]
        # Any: versions before 2.9 have no such class.
        muon: Any = torch.optim
        made.append(
            muon.Muon(matrices, lr=lr, weight_decay=RECIPE.weight_decay, adjust_lr_fn="match_rms_adamw")
        )
        known = set(map(id, matrices))
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in known]
    return [*made, torch.optim.AdamW(groups, lr=lr, betas=RECIPE.betas, fused=fused)]


def parameter_groups(model: Segmenter, weight_decay: float) -> list[dict[str, Any]]:
    """Groups parameters: linear and convolutional weights with weight decay, all others without."""
    kinds = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)
    decaying = [module.weight for module in model.modules() if isinstance(module, kinds)]
    known = set(map(id, decaying))
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
