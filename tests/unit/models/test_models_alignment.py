from __future__ import annotations

import pytest
import torch
from beartype import beartype
from jaxtyping import jaxtyped
from torch import nn

from aims.core.errors import InputError
from aims.models.alignment import ConvAlignment


@pytest.mark.parametrize(("depth", "expected"), [(1, 30), (2, 5_443), (3, 42_371), (4, 79_299), (5, 116_227)])
def test_parameters_are_those_of_figure_6(depth: int, expected: int) -> None:
    layer = ConvAlignment(channels=9, kernel=3, width=64, depth=depth)
    assert sum(parameter.numel() for parameter in layer.parameters()) == expected


def test_form_of_simcmf() -> None:
    first, activation, last = ConvAlignment(channels=9, kernel=3, width=64, depth=2).layers
    assert isinstance(first, nn.Conv2d)
    assert (first.in_channels, first.out_channels, first.kernel_size, first.padding) == (
        9,
        64,
        (3, 3),
        (1, 1),
    )
    assert isinstance(activation, nn.ReLU)
    assert isinstance(last, nn.Conv2d)
    assert (last.in_channels, last.out_channels, last.kernel_size) == (64, 3, (1, 1))


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_size_stays(kernel: int, depth: int) -> None:
    layer = ConvAlignment(channels=2, kernel=kernel, width=4, depth=depth)
    forward = jaxtyped(typechecker=beartype)(ConvAlignment.forward)
    assert forward(layer, torch.zeros(2, 2, 7, 11)).shape == (2, 3, 7, 11)


@pytest.mark.parametrize("wrong", [{"kernel": 2}, {"kernel": 0}, {"width": 0}, {"depth": 0}, {"channels": 0}])
def test_impossible_numbers_are_refused(wrong: dict[str, int]) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(InputError, match=f"{name}={value}"):
        ConvAlignment(**{"channels": 9, "kernel": 3, "width": 64, "depth": 2, **wrong})
