"""`simcmf-plus`: what it claims of its first step, and of its start alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from fitted_methods import fitted, map_linearly, pictures

from aims.core.errors import InputError
from aims.core.normalisation import IMAGENET, Constants
from aims.methods import BACKBONES, METHODS, build_shapes
from aims.methods.simcmf_plus import match_colours, measure
from aims.models.merging import alignment_layers


@pytest.fixture(scope="module")
def weights():
    return BACKBONES["sam-toy"].build().state_dict()


def colours(pictures: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    pixels = pictures.detach().double().transpose(0, 1).flatten(1).numpy()
    return pixels.mean(1), np.cov(pixels, bias=True)


HALF = Constants(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


def photographs(rgb: Constants = IMAGENET) -> np.ndarray:
    """The covariance of normalised photographs, from the published components."""
    axes = np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]])
    axes = axes / np.array(rgb.std)[:, None]
    return axes @ np.diag([0.2175, 0.0188, 0.0045]) @ axes.T


@pytest.mark.parametrize("channels", [3, 5, 9])
@pytest.mark.parametrize(
    ("rgb", "expected"), [(IMAGENET, 0), (HALF, (-0.03, -0.088, -0.188))], ids=["imagenet", "half"]
)
def test_the_sensor_gets_the_colours_of_photographs(channels, rgb, expected):
    images = pictures(channels)
    weight, bias = match_colours(*measure(images), rgb)
    mean, covariance = colours(map_linearly(weight, bias, torch.stack(images).double()))
    np.testing.assert_allclose(mean, expected, atol=1e-9)
    # Regularisation takes from a component 1e-3 of the largest variance over its own: here at most a tenth.
    np.testing.assert_allclose(covariance, photographs(rgb), rtol=0.1, atol=0.05)


def test_one_channel_becomes_grey():
    images = pictures(1)
    weight, bias = match_colours(*measure(images))
    mean, covariance = colours(map_linearly(weight, bias, torch.stack(images).double()))
    assert torch.equal(weight, weight[:1].expand(3, 1))
    assert weight[0] > 0
    np.testing.assert_allclose(mean, 0, atol=1e-9)
    np.testing.assert_allclose(covariance, np.trace(photographs()) / 3, rtol=2e-3)


def test_the_order_of_the_channels_has_no_influence():
    images, order = pictures(5), torch.tensor([3, 0, 4, 1, 2])
    weight, bias = match_colours(*measure(images))
    other = match_colours(*measure(image[order] for image in images))
    torch.testing.assert_close(other[0], weight[:, order])
    torch.testing.assert_close(other[1], bias)


def test_a_constant_sensor_becomes_the_mean_colour():
    images = [torch.full((2, 8, 8), 3.0)]
    weight, bias = match_colours(*measure(images))
    assert not weight.any()
    assert not bias.any()


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_at_the_first_step_it_is_plain_sam_on_the_mapped_sensor(weights, channels, depth):
    images = pictures(channels)
    model = fitted("simcmf-plus", images, weights, depth=depth)
    weight, bias = match_colours(*measure(images))
    batch = torch.stack(images)
    mapped = map_linearly(weight, bias, batch)
    plain = BACKBONES["sam-toy"].build()
    plain.load_state_dict(weights)
    with torch.no_grad():
        # Float32: the same C products, summed in another order.
        torch.testing.assert_close(model.alignment(batch), mapped, rtol=1e-5, atol=1e-5)
        # What the blocks of the encoder make of that, computed on another path of attention.
        torch.testing.assert_close(model.embed(batch), plain.eval().embed(mapped), rtol=1e-3, atol=1e-4)


def test_the_nonlinear_branch_learns_from_the_first_step_on(weights):
    model = fitted("simcmf-plus", pictures(2), weights)
    model.alignment(torch.stack(pictures(2))).square().mean().backward()
    gradient = model.alignment.layers[-1].weight.grad
    assert gradient[:, 6:].abs().amax(0).gt(0).float().mean() > 0.5
    assert not model.alignment.layers[-1].weight[:, 6:].any()


def test_it_is_simcmf_but_for_its_start():
    one, other = (
        build_shapes(method=name, tuning="lora", backbone="sam-toy", channels=9)
        for name in ("simcmf", "simcmf-plus")
    )
    assert repr(one) == repr(other)
    assert len(alignment_layers(other)) == 3


def test_too_few_hidden_channels_are_refused():
    with pytest.raises(InputError, match="--width must be at least 6 to carry three colours, not 5"):
        METHODS["simcmf-plus"](width=5)
    METHODS["simcmf-plus"](width=5, depth=1)
