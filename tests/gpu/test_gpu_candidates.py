"""What candidates compute from each picture: on a GPU as on a CPU, and the same every time."""

from __future__ import annotations

import pytest
import torch
from candidate_modules import candidate_modules

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def toned():
    with candidate_modules() as modules:
        yield modules.toned


def test_tones_and_edges_are_those_of_a_cpu(device, toned):
    pictures = torch.randn(2, 9, 256, 256, generator=torch.Generator().manual_seed(0))
    for compute in (toned.tone, lambda batch: toned.slope(toned.tone(batch))):
        expected, found = compute(pictures), compute(pictures.to(device))
        # Window and gamma come from the same sorted pixels: only logarithm, power and sums round otherwise.
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(compute(pictures.to(device)), found)
