"""A step of pretraining waits for no device: it runs on "meta", which has no values that could be asked for.

There every question to a tensor (`item`, `tolist`, `cpu`, a boolean mask, `nonzero`) raises. What is left
are numbers that the CPU makes and a device would wait for; a dispatch mode refuses these.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import toys  # noqa: F401  (registers sam-toy)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aims.engine.train import RunObserver
from aims.models import attention
from aims.models.long_attention import attend_fused
from aims.pretrain import run as module
from aims.pretrain.photographs import PhotographStore, Shapes
from aims.pretrain.pictures import PretrainingSet
from aims.pretrain.run import PretrainConfig, PretrainJob
from aims.synth.world.render import scenes_at_once

META = torch.device("meta")


class OnDevice(TorchDispatchMode):
    """Refuses tensors of the CPU but for single numbers, which travel with a kernel's arguments."""

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        found = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves((args, kwargs, found)):
            if isinstance(tensor, torch.Tensor) and tensor.device.type == "cpu" and tensor.ndim:
                raise AssertionError(f"{operation} has a tensor of the CPU, of shape {tuple(tensor.shape)}")
        return found


@pytest.mark.parametrize(
    "question",
    [
        lambda tensor: tensor.sum().item(),
        lambda tensor: tensor.tolist(),
        lambda tensor: tensor.cpu(),
        lambda tensor: tensor[tensor > 0],
        lambda tensor: tensor.nonzero(),
        lambda tensor: torch.bincount(tensor.long()).tolist(),
        lambda tensor: tensor.repeat_interleave(tensor.long()),
        lambda tensor: tensor[torch.arange(2)],
        lambda tensor: tensor + torch.ones(3).to(META),
        lambda tensor: tensor + torch.tensor([1.0, 2.0, 3.0]).to(META),
        lambda tensor: int(tensor.max()),
    ],
)
def test_waiting_is_noticed(question):
    with pytest.raises((AssertionError, NotImplementedError, RuntimeError)), OnDevice():
        question(torch.zeros(3, device=META))


def on_meta(monkeypatch, folder, **changes):
    """A pretraining on "meta" that takes a GPU's path."""
    # There is no autocast for "meta", and its attention is not the fused one.
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: nullcontext())
    monkeypatch.setattr(
        attention,
        "attend",
        lambda queries, keys, values, *, scale, bias=None, path="stock": attend_fused(
            queries, keys, values, *bias.of(queries), scale=scale
        ),
    )
    config = PretrainConfig(images=4096, clicks=3, held_out=2, **changes)
    return module._Pretraining(PretrainJob(config=config, folder=folder, device=META), {}, RunObserver())


@pytest.mark.thorough
def test_a_step_waits_for_nothing(tmp_path, monkeypatch):
    most = scenes_at_once(META)
    trainer = on_meta(monkeypatch, tmp_path, backbone="sam-tiny", batch_size=most // 2)
    stream = PretrainingSet(0, trainer.model.image_size, most, at_once=most)
    targets = trainer._targets(iter([stream[k].unpack(META) for k in range(2)]))
    # Constants are brought to a device in the first step, and images are made in every second one.
    trainer._step(next(targets))
    with OnDevice():
        for _ in range(2):
            trainer._step(next(targets))
    # They were whole steps: what answers a click has learned three times.
    (optimizer,) = trainer.optimizers
    steps = [state["step"].item() for state in optimizer.state.values()]
    assert len(steps) > 150
    assert set(steps) == {3}


def test_what_experiments_change_waits_for_nothing(tmp_path, monkeypatch):
    changes = {"rounds": 2, "drop_path": 0.1, "augment": "sensor"}
    trainer = on_meta(monkeypatch, tmp_path, backbone="sam-toy:mask_scale=8", batch_size=4, **changes)
    stream = PretrainingSet(0, trainer.model.image_size, 4, at_once=256)
    targets = trainer._targets(iter([stream[k].unpack(META) for k in range(2)]))
    trainer._step(next(targets))
    with OnDevice():
        trainer._step(next(targets))


def test_a_step_with_photographs_waits_for_nothing(tmp_path, monkeypatch):
    trainer = on_meta(monkeypatch, tmp_path, backbone="sam-toy", batch_size=4)
    shapes = Shapes(((80, 120), (90, 70)), (2, 1))
    trainer.store = PhotographStore(
        shapes,
        torch.zeros(80 * 120 + 90 * 70, 3, dtype=torch.uint8, device=META),
        torch.zeros(2 * 80 * 120 + 90 * 70, dtype=torch.int16, device=META),
        torch.zeros(2, 4, dtype=torch.int64, device=META),
    )
    stream = PretrainingSet(0, trainer.model.image_size, 4, at_once=256, photographs=shapes, share=0.5)
    assert 0 < len(stream[1].unpack(META).crops) < 4
    targets = trainer._targets(iter([stream[k].unpack(META) for k in range(2)]))
    trainer._step(next(targets))
    with OnDevice():
        trainer._step(next(targets))


def test_a_batch_comes_in_one_copy():
    copies = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
            if "copy" in operation.__name__:
                copies.append(operation)
            return operation(*args, **(kwargs or {}))

    packed = PretrainingSet(0, 64, 4, at_once=2)[0]
    with Copies():
        draws = packed.unpack(META)
    assert len(copies) == 1
    assert len(draws.scenes) == 2
    assert draws.scenes[1].camera.rays.device == META
