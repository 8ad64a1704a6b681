"""A training step: what it waits for, what its optimizer does, and pretraining's."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import toys

from aims.core.vocabulary import PROTOCOLS
from aims.engine.loading import loader
from aims.engine.samples import TrainingSet
from aims.engine.train import RunObserver, Trainer
from aims.methods import BACKBONES, build_model
from aims.pretrain.run import plan_pretraining, pretrain

pytestmark = pytest.mark.gpu

STEPS = [("simcmf", tuning) for tuning in ("full", "lora", "adapter", "prompt", "prefix", "linear-probe")]
STEPS += [(method, "lora") for method in ("transformer", "channel-batch", "simcmf-released", "mlp", "cmx")]
STEPS += [("vipt", "prompt")]
#: Training prompts beside single clicks, on one pair.
PROMPTED = [(*step, "click") for step in STEPS] + [("simcmf", "lora", "clicks"), ("simcmf", "lora", "box")]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return toys.made_up_set(tmp_path_factory.mktemp("sets") / "made-up", rgb=True)


def trainer(dataset, folder, device, method, tuning, precision="float32", prompts="click"):
    """A trainer of the small backbone, and its batches as a training reads them."""
    made = toys.job(
        dataset,
        folder,
        method=method,
        tuning=tuning,
        backbone="sam-toy",
        modality="rgb-signal",
        precision=precision,
        prompts=prompts,
    )
    source = dataclasses.replace(
        toys.source(dataset, PROTOCOLS[made.config.protocol]), modality=made.modality
    )
    channels = made.modality.channels
    source = dataclasses.replace(
        source,
        preprocessing=dataclasses.replace(
            source.preprocessing,
            streams=made.modality.streams,
            mean=(0.5,) * channels,
            std=(2.0,) * channels,
            channel_order=tuple(range(channels))[::-1],
        ),
    )
    model = build_model(
        method=method, tuning=tuning, backbone="sam-toy", channels=channels, weights=None, seed=0
    ).to(device)
    made_trainer = Trainer(
        config=made.config,
        folder=folder,
        model=model,
        source=source,
        refs={"train": dataset.index["train"]},
        mask_size=BACKBONES["sam-toy"].mask_size,
        observer=RunObserver(),
    )
    data = TrainingSet(
        source=source,
        refs=dataset.index["train"],
        mask_size=made_trainer.mask_size,
        seed=0,
        prompts=made_trainer.prompts,
    )
    keys = made_trainer.schedule.batches(0, 0)
    return made_trainer, iter(loader(data, keys, 0, device.type == "cuda"))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(("method", "tuning", "prompts"), PROMPTED)
def test_a_step_waits_for_the_loss_and_nothing_else(
    device, dataset, tmp_path, monkeypatch, method, tuning, prompts, precision
):
    made, batches = trainer(dataset, tmp_path, device, method, tuning, precision, prompts)
    # The first step copies constants and makes the optimizer's state.
    made._step(next(batches))
    item, reads = torch.Tensor.item, []

    def strictly(mode):
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode(mode)

    def read(tensor):
        strictly("default")
        reads.append(item(tensor))
        strictly("error")
        return reads[-1]

    if device.type == "cpu":
        # On a CPU Adam reads its step counts, which lie there whatever the device.
        monkeypatch.setattr(made.optimizer, "step", lambda: None)
    batch = next(batches)
    monkeypatch.setattr(torch.Tensor, "item", read)
    try:
        strictly("error")
        loss = made._step(batch)
    finally:
        strictly("default")
        monkeypatch.undo()
    assert reads == [loss]


def test_the_optimizer_takes_the_steps_of_a_cpu(device):
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(64, 32, generator=generator) for _ in range(3)]
    gradients = [[torch.randn(64, 32, generator=generator) for _ in start] for _ in range(5)]
    ends = []
    for place, fused in ((device, device.type == "cuda" or None), (torch.device("cpu"), None)):
        parameters = [tensor.clone().to(place).requires_grad_() for tensor in start]
        optimizer = torch.optim.Adam(parameters, lr=1e-2, betas=(0.9, 0.999), fused=fused)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.clone().to(place)
            optimizer.step()
        ends.append([parameter.detach().cpu() for parameter in parameters])
    for here, there in zip(*ends, strict=True):
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-6)


def test_pretraining(device, tmp_path):
    settings = {"images": 16, "batch_size": 4, "clicks": 3, "held_out": 2, "backbone": "sam-toy"}
    job = plan_pretraining(folder=tmp_path / "made", device=device.type, precision="bf16", **settings)
    card = pretrain(job)
    assert card.images_seen == 16
    assert {"wilds", "rooms"} <= card.scores.keys()
    assert (tmp_path / "made" / "weights.safetensors").is_file()
