"""The fast path, the stock path and the CPU compute the same, whole tensors and gradients."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from gpu_models import answers, assert_close, distance, exact_answers, reduced, tuned

from aims.core.config import NO_TUNING
from aims.core.errors import InputError
from aims.methods import METHODS, TUNINGS, has_model, require_pair
from aims.models.attention import RelativePositions, attend
from aims.models.long_attention import attend_fused
from reduced import REDUCED

pytestmark = pytest.mark.gpu

CPU = torch.device("cpu")
# Float32 in other orders of summation: some 1e-6 a layer.
FLOAT32 = 1e-4


def makes_sense(method: str, tuning: str) -> bool:
    try:
        require_pair(method, tuning)
    except InputError:
        return False
    return has_model(method)


PAIRS = [pair for pair in product(METHODS, [*TUNINGS, NO_TUNING]) if makes_sense(*pair)]


@pytest.mark.parametrize("tuning", ["lora", "full"])
@pytest.mark.parametrize("name", REDUCED)
def test_every_family_of_backbones(device, name, tuning):
    model = reduced(name, tuning)
    expected = answers(model, CPU, "stock")
    assert_close(answers(model, device, "stock"), expected, FLOAT32)
    assert_close(answers(model, device, "fast"), expected, FLOAT32)


@pytest.mark.parametrize(("method", "tuning"), PAIRS)
def test_every_method_and_tuning(device, method, tuning):
    model = tuned(method, tuning, channels=4)
    expected = answers(model, CPU, "fast")
    # Plain methods have nothing to learn, and so no gradients.
    assert (len(expected) > 3) == (tuning != NO_TUNING)
    assert_close(answers(model, device, "fast"), expected, FLOAT32, exact_answers(model))


@pytest.mark.parametrize("channels", [1, 3, 4, 6, 9])
def test_every_number_of_channels(device, channels):
    model = tuned("simcmf", "lora", channels)
    expected = answers(model, CPU, "stock")
    assert_close(answers(model, device, "fast"), expected, FLOAT32)


@pytest.mark.parametrize("tuning", ["lora", "prompt", "full"])
@pytest.mark.parametrize("name", REDUCED)
def test_bfloat16_is_as_near_as_the_stock_path_in_bfloat16(device, name, tuning):
    """Nobody can be nearer than the type allows: what the stock path loses by it is the measure."""
    model = reduced(name, tuning)
    exact = answers(model, device, "stock")
    stock, fast = (answers(model, device, path, bf16=True) for path in ("stock", "fast"))
    for tensor in ("embeddings", "logits", "iou"):
        lost, found = distance(stock[tensor], exact[tensor]), distance(fast[tensor], exact[tensor])
        # A unit in the last place of bfloat16 is 2^-8.
        assert found < 2 * lost + 2**-8, f"{tensor}: {found:.1e}, stock path {lost:.1e}"
    gradients = [name for name in exact if name.startswith("gradient")]
    lost, found = (
        distance(*(torch.cat([each[name].flatten() for name in gradients]) for each in (path, exact)))
        for path in (stock, fast)
    )
    assert found < 2 * lost + 2**-8, f"gradients: {found:.1e}, stock path {lost:.1e}"


@pytest.mark.parametrize("extra", [0, 200])
@pytest.mark.parametrize("head_dim", [64, 80])
def test_attention_at_its_real_size(device, head_dim, extra):
    """4,096 tokens, with and without learned ones, against float64 with all logits at once."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    queries = random(1, 1, 4096, head_dim)
    keys, values = (random(1, 1, 4096 + extra, head_dim) for _ in range(2))
    tables = [0.1 * random(127, head_dim) for _ in range(2)]
    received = random(1, 1, 4096, head_dim)

    def work(dtype, place, path):
        given = [each.to(place, dtype).requires_grad_() for each in (queries, keys, values, *tables)]
        q, k, v, rows, columns = given
        bias = RelativePositions(rows, columns, (64, 64))
        if path == "fused":
            attended = attend_fused(q, k, v, *bias.of(q), scale=head_dim**-0.5)
        else:
            attended = attend(q, k, v, scale=head_dim**-0.5, bias=bias, path=path)
        gradients = torch.autograd.grad((attended * received.to(place, dtype)).sum(), given)
        return {str(k): t.detach().double().cpu() for k, t in enumerate((attended, *gradients))}

    expected = work(torch.float64, CPU, "stock")
    for path in ("fast", "fused"):
        assert_close(work(torch.float32, device, path), expected, FLOAT32)
