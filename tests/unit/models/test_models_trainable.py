from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aims.core.errors import InputError
from aims.methods import build_model
from aims.models.segmenter import Segmenter
from aims.models.trainable import (
    declared_buffers,
    declared_parameters,
    freeze_undeclared,
    load_trainable_state,
    require_match,
    trainable_state,
)


class Half(nn.Module):
    def __init__(self, *names: str) -> None:
        super().__init__()
        self.learns = nn.Parameter(torch.zeros(2))
        self.learns_not = nn.Parameter(torch.zeros(3))
        self.names = names

    def trainable_params(self) -> list[str]:
        return list(self.names)


class Tracked(nn.BatchNorm1d):
    def __init__(self, *names: str) -> None:
        super().__init__(2)
        self.names = names

    def trained_buffers(self) -> list[str]:
        return list(self.names)


def small(seed: int) -> Segmenter:
    return build_model(
        method="simcmf", tuning="lora", backbone="sam-tiny", channels=2, weights=None, seed=seed
    )


def test_only_what_layers_declare_learns() -> None:
    model = nn.Sequential(Half("learns"), nn.Linear(2, 2))
    freeze_undeclared(model)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["0.learns"]
    assert list(declared_parameters(model)) == ["0.learns"]


def test_a_layer_may_be_the_whole_model() -> None:
    assert list(declared_parameters(Half("learns"))) == ["learns"]


def test_a_name_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"0\.lerns"):
        declared_parameters(nn.Sequential(Half("lerns")))


def test_declared_twice_is_declared_once() -> None:
    model = build_model(method="linear", tuning="full", backbone="sam-tiny", channels=2, weights=None, seed=0)
    names = list(declared_parameters(model))
    assert len(names) == len(set(names))
    assert "image_encoder.patch_embed.proj.weight" in names


def test_state_goes_round() -> None:
    one, other = small(1), small(2)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    state = trainable_state(one)
    load_trainable_state(other, state, source="memory")
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, one.state_dict()[name] if name in state else before[name])
    assert all(torch.equal(tensor, state[name]) for name, tensor in trainable_state(other).items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("alignment.layers.0.bias"), r"1 missing \(alignment\.layers\.0\.bias\)"),
        (lambda state: state.update(extra=torch.zeros(1)), r"1 unexpected \(extra\)"),
        (
            lambda state: state.update({"alignment.layers.0.bias": torch.zeros(65)}),
            r"1 mis-shaped \(alignment\.layers\.0\.bias is \(65,\), not \(64,\)\)",
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(change: object, message: str) -> None:
    model = small(1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = {name: torch.ones_like(tensor) for name, tensor in trainable_state(model).items()}
    change(state)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        load_trainable_state(model, state, source="best.safetensors")
    assert str(caught.value).startswith("best.safetensors: ")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_long_lists_are_cut() -> None:
    shapes = {f"layer.{index}": torch.Size([1]) for index in range(10)}
    state: dict[str, Tensor] = {}
    with pytest.raises(InputError, match=r"10 missing \(layer\.0, layer\.1, layer\.2, \.\.\.\)$"):
        require_match(shapes, state, source="x")


def test_declared_buffers_belong_to_the_state_but_do_not_learn() -> None:
    one, other = (
        nn.Sequential(Half("learns"), Tracked("running_var", "num_batches_tracked")) for _ in range(2)
    )
    freeze_undeclared(one)
    one[1](torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    assert list(declared_parameters(one)) == ["0.learns"]
    assert list(declared_buffers(one)) == ["1.running_var", "1.num_batches_tracked"]
    state = trainable_state(one)
    assert list(state) == ["0.learns", "1.running_var", "1.num_batches_tracked"]
    load_trainable_state(other, state, source="memory")
    # A tenth of the unbiased variances 2 and 8, nine tenths of the 1 at the start.
    torch.testing.assert_close(other[1].running_var, torch.tensor([1.1, 1.7]))
    assert other[1].num_batches_tracked.dtype == torch.int64
    assert other[1].num_batches_tracked == 1
    # Not declared, so it stays behind.
    assert one[1].running_mean.any()
    assert not other[1].running_mean.any()


def test_a_state_without_its_buffers_is_refused() -> None:
    model = nn.Sequential(Half("learns"), Tracked("running_mean"))
    with pytest.raises(InputError, match=r"1 missing \(1\.running_mean\)"):
        load_trainable_state(model, {"0.learns": torch.ones(2)}, source="x")
    assert not model[0].learns.any()


def test_a_buffer_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"a trained buffer but not there: \['0\.runing_mean'\]"):
        declared_buffers(nn.Sequential(Tracked("runing_mean")))
