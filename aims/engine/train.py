"""The training loop. It resumes at any step; on a CPU, with the same results as without interruption."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from aims.core.config import RunConfig
from aims.core.curve import EpochLine, best_epoch, metrics_text
from aims.core.errors import AimsError
from aims.core.files import write_text
from aims.core.records import FAILED_BATCH, METRICS, RESUME, WEIGHTS, RunRecord
from aims.core.vocabulary import PROTOCOLS, TRAINING_PROMPTS
from aims.data.refs import ImageRef
from aims.engine.checkpoint import TrainingState, load_resume, save_batch, save_resume, save_trained
from aims.engine.distributed import ProcessGroup
from aims.engine.evaluate import MaskLoss, evaluate, mean_dice, mean_iou
from aims.engine.loading import loader, worker_deaths
from aims.engine.losses import LOSSES
from aims.engine.machine import PeakMemory
from aims.engine.samples import Batch, Schedule, Source, TrainingSet
from aims.engine.stopping import Stopped, StopRequest
from aims.engine.training_prompts import decode_rounds
from aims.models.features import as_leaves, pass_gradients
from aims.models.segmenter import Segmenter
from aims.models.trainable import declared_parameters

log = logging.getLogger(__name__)

#: Number of epochs after which the learning rate is halved (paper, Table 5).
HALVE_EVERY = 10


def learning_rate(peak: float, epoch: int) -> float:
    """Returns the learning rate of an epoch, counted from 1."""
    return peak * 0.5 ** ((epoch - 1) // HALVE_EVERY)


class RunObserver:
    """Receives the progress of a run. This base class ignores it; subclasses override what they show."""

    def stage(self, name: str, total: int, done: int = 0) -> None:
        """Called when a stage begins that has `total` units of work, `done` of them finished before."""

    def advance(self, count: int = 1, *, loss: float | None = None) -> None:
        """Called after `count` further units of the stage, in training with the loss of the step."""

    def epoch(self, line: EpochLine) -> None:
        """Called with each new line of metrics.jsonl: after every epoch, and for the start (epoch 0)."""

    def finished(self, record: RunRecord) -> None:
        """Called once with the record of a run that has just been finished."""


@dataclass(kw_only=True)
class Trainer:
    """Trains the model of one run.

    Attributes:
        config: configuration of the run.
        folder: folder of the run; must exist.
        model: the model, on its device.
        source: dataset, modality, protocol, scaling.
        refs: images of train, test and val.
        mask_size: side of the model's mask logits.
        workers: number of processes that read ahead.
        checkpoint_every: number of steps between checkpoints within an epoch; None saves at the end of every
            epoch only.
        observer: receives the progress.
        distributed: the processes that train together.
        peak: measures the peak memory of this process; None for no measurement.
    """

    config: RunConfig
    folder: Path
    model: Segmenter
    source: Source
    refs: Mapping[str, tuple[ImageRef, ...]]
    mask_size: int
    workers: int = 0
    checkpoint_every: int | None = None
    observer: RunObserver
    distributed: ProcessGroup = field(default_factory=ProcessGroup)
    peak: PeakMemory | None = None

    def __post_init__(self) -> None:
        self.protocol = PROTOCOLS[self.config.protocol]
        self.prompts = TRAINING_PROMPTS[self.config.prompts]
        self.device = next(self.model.parameters()).device
        self.optimizer = torch.optim.Adam(
            declared_parameters(self.model).values(),
            lr=self.config.lr,
            betas=(0.9, 0.999),
            # On a GPU one kernel updates all parameters; on a CPU it would change results by rounding.
            fused=self.device.type == "cuda" or None,
        )
        self.schedule = Schedule(
            images=len(self.refs["train"]),
            batch_size=self.config.batch_size,
            epochs=self.config.epochs,
            shuffle=self.protocol.shuffle,
            seed=self.config.seed,
        )
        self.loss = LOSSES[self.config.loss]
        self.state = TrainingState(micro_batch=self._share)
        self._stop = StopRequest()
        self._last: tuple[Batch, int, int] | None = None

    def run(self, until: int | None = None) -> TrainingState:
        """Trains the remaining epochs, up to `until` if given, and saves the weights of the best epoch.

        Returns:
            The state after training; its `best` is the line of the best epoch.

        Raises:
            Stopped: on a signal (`StopRequest`), after saving.
            AimsError: the loss or the weights became NaN or infinite.
        """
        resume = self.folder / RESUME
        if resume.is_file():
            self.state = load_resume(resume, self.model, self.optimizer)
            self.state.micro_batch = self.state.micro_batch or self._share
            if self.distributed.is_main:
                # A kill between the two writes would leave metrics.jsonl behind the checkpoint.
                self._write_curve()
        with self._stop.listening():
            self._epochs(self.config.epochs if until is None else until)
        return self.state

    @property
    def _share(self) -> int:
        """Number of images of a full batch that a process computes, rounded up."""
        return -(-self.config.batch_size // self.distributed.world_size)

    @worker_deaths()
    def _epochs(self, until: int) -> None:
        state, steps = self.state, self.schedule.steps_per_epoch
        data = TrainingSet(
            source=self.source,
            refs=self.refs["train"],
            mask_size=self.mask_size,
            seed=self.config.seed,
            rank=self.distributed.rank,
            world_size=self.distributed.world_size,
            clicks=self.config.clicks,
            prompts=self.prompts,
        )
        clock = _Clock(state)
        # A checkpoint of an earlier version goes on without it.
        if not (state.metrics or state.epoch or state.step):
            self._score_start(clock)
        keys = self.schedule.batches(state.epoch, state.step)
        batches = iter(loader(data, keys, self.workers, self.device.type == "cuda"))
        while state.epoch < until:
            self.observer.stage("train", self.config.epochs * steps, state.epoch * steps + state.step)
            self._set_rate()
            self.model.train()
            while state.step < steps:
                loss = self._step(next(batches))
                state.step, state.loss = state.step + 1, state.loss + loss
                clock.tick()
                self.observer.advance(loss=loss)
                self._leave_if_asked()
                if self.checkpoint_every and state.step % self.checkpoint_every == 0:
                    self._save()
            line = self._finish_epoch(clock)
            state.epoch, state.step, state.loss = state.epoch + 1, 0, 0.0
            self._note(line)

    def _score_start(self, clock: _Clock) -> None:
        """Notes how the model scores on the validation part, if the protocol has one, before any step."""
        # Never on the test split, which `paper` reads after the epochs that its rule names.
        if self.protocol.select_on == "val":
            line = self._scored(EpochLine(epoch=0))
            clock.tick()
            self._note(line)

    def _note(self, line: EpochLine) -> None:
        """Adds a line to the curve, and saves."""
        self.state.metrics.append(line)
        self._save()
        self.observer.epoch(line)
        self._leave_if_asked(saved=True)

    def _step(self, batch: Batch) -> float:
        """Computes one optimisation step, in smaller parts of the batch if memory runs out.

        Returns:
            The loss of the whole batch, over all processes.
        """
        while (loss := self._gradients(batch)) is None:
            self.state.micro_batch = max(1, (self._at_once(batch) + 1) // 2)
            log.warning(
                "%s: out of memory; from now on %d images at a time, a step takes %d as before",
                self.folder.name,
                self.state.micro_batch,
                self.config.batch_size,
            )
            self.optimizer.zero_grad(set_to_none=True)
            torch.cuda.empty_cache()
        own = value = loss.item()
        if self.distributed.world_size > 1:
            self.distributed.all_reduce([loss, *self._all_gradients()])
            value = loss.item()
        if not math.isfinite(value):
            # Raises by itself if the weights are not finite: then the previous step is at fault.
            self._save()
            here = (self.state.epoch + 1, self.state.step + 1)
            raise self._failure(f"the loss is {value}", batch, *here, keep=not math.isfinite(own))
        self.optimizer.step()
        self._last = batch, self.state.epoch + 1, self.state.step + 1
        return value

    def _gradients(self, batch: Batch) -> Tensor | None:
        """Computes the gradients of a batch and returns its loss; None if smaller parts may fit into memory.

        For a share of a batch, both are its contributions to those of the whole batch.
        """
        # Seeded per step, so that dropout in a resumed run draws the same.
        torch.manual_seed(_step_seed(self.config.seed, self.state.epoch, self.state.step))
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros((), device=self.device)
        lacking = False
        try:
            for part in batch.parts(self._at_once(batch)):
                # The loss is a mean over the images, so parts are weighted by their share of the batch.
                total += self._backward(part, len(part.images) / batch.whole)
        except torch.OutOfMemoryError:
            if self._at_once(batch) == 1:
                raise
            # The caller frees memory later: inside this block the traceback keeps activations alive.
            lacking = True
        return None if self.distributed.any(lacking) else total

    def _at_once(self, batch: Batch) -> int:
        """Number of images that are computed at once; 1 if this process has none."""
        return max(1, min(self.state.micro_batch or self._share, len(batch.images)))

    def _all_gradients(self) -> list[Tensor]:
        """Returns the gradients of all trainable parameters; zeros where this process had no image."""
        gradients = []
        for parameter in declared_parameters(self.model).values():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        return gradients

    def _backward(self, batch: Batch, share: float) -> Tensor:
        """Adds the gradients of `share` times the loss of a part of a batch; returns that product.

        Several rounds of prompts go backward one by one, up to the features that they share, so that the
        memory holds one of them; from there the sum of their gradients goes on to the encoder.
        """
        images = self.source.inputs(batch.images, self.device)
        prompts = batch.prompts.to(self.device)
        with self._autocast():
            features = self.model.embed(images)
        count = 1 + self.prompts.further
        shared = as_leaves(features) if count > 1 else features
        rounds, total = decode_rounds(self.model, shared, prompts), torch.zeros((), device=self.device)
        for _ in range(count):
            with self._autocast():
                logits, iou = next(rounds)
            loss = self.loss(logits, prompts.masks, iou) * (share / count)
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        if count > 1:
            pass_gradients(features, shared)
        return total

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def _failure(self, what: str, batch: Batch, epoch: int, step: int, *, keep: bool = True) -> AimsError:
        """Saves this process's share of the batch that caused a failure, and returns the error to raise."""
        if keep:
            save_batch(self.folder / FAILED_BATCH, batch, {"epoch": str(epoch), "step": str(step)})
        return AimsError(
            f"{what} at epoch {epoch}, step {step}: try a lower --lr than {self.config.lr:g} "
            f"(images {', '.join(batch.image_ids)}; {self.folder} keeps the batch as {FAILED_BATCH}, and as "
            f"{RESUME} the last good state that was saved)"
        )

    def _set_rate(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.config.lr, self.state.epoch + 1)

    def _finish_epoch(self, clock: _Clock) -> EpochLine:
        """Evaluates in epochs that are scored, saves the best weights, and returns the epoch's line."""
        state, number = self.state, self.state.epoch + 1
        line = EpochLine(
            epoch=number,
            loss=state.loss / self.schedule.steps_per_epoch,
            lr=self.optimizer.param_groups[0]["lr"],
        )
        # The last epoch is always scored.
        if number % self.config.score_every and number != self.config.epochs:
            return line
        # Saved here, so that a stop during the evaluation does not repeat the training.
        self._save()
        line = self._scored(line)
        clock.tick()
        best = best_epoch([*state.metrics, line], self.protocol.select_on)
        if best is not None and best[0] == number:
            state.best = line
            if self.distributed.is_main:
                notes = {"epoch": str(number), "run": self.folder.name}
                save_trained(self.folder / WEIGHTS, self.model, notes)
        return line

    def _scored(self, line: EpochLine) -> EpochLine:
        """Evaluates on the split that the protocol selects on, and returns the line with the scores."""
        split = self.protocol.select_on
        self.observer.stage(f"score {split}", len(self.refs[split]))
        rows = evaluate(
            self.model,
            self.source,
            self.refs[split],
            precision=self.config.precision,
            masks=False,
            loss=MaskLoss(self.loss, self.mask_size),
            boxes=self.prompts.boxes_alone,
            workers=self.workers,
            distributed=self.distributed,
            on_image=self._after_image,
        )
        miou, loss = mean_iou(rows), float(np.mean([row["loss"] for row in rows]))
        scores = {"miou": miou, "dice": mean_dice(rows), "loss": loss if math.isfinite(loss) else None}
        return replace(line, **{f"{split}_{name}": value for name, value in scores.items()})

    def _after_image(self, images: int) -> None:
        self.observer.advance(images)
        # Shares differ in length, and `any` is collective: several processes check after the evaluation.
        if self.distributed.world_size == 1:
            self._leave_if_asked(saved=True)

    def _leave_if_asked(self, *, saved: bool = False) -> None:
        if not self.distributed.any(self._stop.signal is not None):
            return
        if not saved:
            self._save()
        raise Stopped(f"stopped; everything is saved in {self.folder}: the same command goes on from here")

    def _save(self) -> None:
        weights = declared_parameters(self.model).values()
        if self._last is not None and not all(bool(weight.isfinite().all()) for weight in weights):
            raise self._failure(
                "the weights are no longer finite", *self._last, keep=self.distributed.is_main
            )
        if not self.distributed.is_main:
            return
        if self.peak is not None:
            self.state.hold(self.peak.read())
        save_resume(self.folder / RESUME, self.model, self.optimizer, self.state)
        self._write_curve()

    def _write_curve(self) -> None:
        write_text(self.folder / METRICS, metrics_text(self.state.metrics))


def _step_seed(seed: int, epoch: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, epoch, step)).generate_state(1, np.uint64)[0] >> np.uint64(1))


class _Clock:
    """Accumulates elapsed time in the training state, which is saved and survives a restart."""

    def __init__(self, state: TrainingState, now: Callable[[], float] = time.perf_counter) -> None:
        self._state, self._now, self._last = state, now, now()

    def tick(self) -> None:
        now = self._now()
        self._state.seconds += now - self._last
        self._last = now
