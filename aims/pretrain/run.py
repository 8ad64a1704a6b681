"""Pretraining of a small SAM on generated scenes, and on photographs with region maps if there are any."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import msgspec
import torch
from filelock import FileLock
from torch import Tensor

from aims.core.errors import AimsError, InputError
from aims.core.files import write_json
from aims.core.staging import held
from aims.core.structs import read_struct
from aims.core.vocabulary import DEFAULT_PROTOCOL, find_protocol
from aims.engine.checkpoint import has_sharded
from aims.engine.loading import loader, worker_deaths
from aims.engine.stopping import Stopped, StopRequest
from aims.engine.train import RunObserver
from aims.engine.training_prompts import StepDraws, decode_rounds
from aims.methods import BACKBONES
from aims.models.encoder import PlainEncoder
from aims.models.weights import load_weights
from aims.pretrain.card import CARD, WEIGHTS, Card, draw_curves, write_card, write_weights
from aims.pretrain.checkpoint import (
    Average,
    Line,
    Progress,
    load_checkpoint,
    mean_losses,
    save_checkpoint,
    write_metrics,
)
from aims.pretrain.config import (
    SETTINGS,
    PretrainJob,
    find_photographs,
    plan_pretraining,
    require_folder,
    settings_of,
)
from aims.pretrain.optimizers import make_optimizers
from aims.pretrain.photographs import Photographs, PhotographStore
from aims.pretrain.pictures import Draws, PretrainingSet, make_pictures
from aims.pretrain.scores import (
    SCENE_FAMILIES,
    ClickScores,
    DiscScores,
    HeldOut,
    disc_scores,
    held_out_photographs,
    held_out_scenes,
    score,
)
from aims.pretrain.settings import RECIPE, PretrainConfig
from aims.pretrain.step import (
    LOSS_NAMES,
    ClickTargets,
    DropPath,
    draw_targets,
    mask_losses,
    pair_loss,
    prompts_of,
    steps_of,
)
from aims.synth.world.render import scenes_at_once

__all__ = ["PretrainConfig", "PretrainJob", "plan_pretraining", "pretrain"]

_LOG_EVERY = 50
_SAVE_SECONDS = 60.0


class PretrainObserver(RunObserver):
    """Receives the progress of a pretraining. This base class ignores it."""

    def scored(
        self,
        images: int,
        seconds: float,
        scores: Mapping[str, ClickScores],
        floors: Mapping[str, DiscScores],
    ) -> None:
        """Called after an intermediate scoring of the averaged weights, with images and seconds so far."""


def pretrain(job: PretrainJob, *, finish: bool = False, observer: PretrainObserver | None = None) -> Card:
    """Pretrains a model, resuming from the checkpoint in the folder if there is one; writes weights and card.

    Args:
        job: the pretraining.
        finish: whether to write weights and card from the checkpoint without further training.
        observer: receives the progress.

    Raises:
        InputError: the folder holds something else, or photographs are missing.
        Busy: another process works there.
        Stopped: on a signal (`StopRequest`), after saving.
        AimsError: a loss became NaN or infinite.
    """
    began = time.perf_counter()
    require_folder(job, finish)
    photographs = find_photographs(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    with (
        held(FileLock(job.folder / ".lock", timeout=0), job.folder, "working here"),
        torch.random.fork_rng(devices=[]),
    ):
        write_json(job.folder / SETTINGS, msgspec.to_builtins(settings_of(job)))
        trainer = _Pretraining(job, photographs, observer or PretrainObserver())
        if finish:
            return trainer.finish()
        card = trainer.whole_card()
        if card is None:
            trainer.run(math.inf if job.seconds is None else began + job.seconds)
            card = trainer.finish()
        return card


class _Pretraining:
    """The training loop; the checkpoint contains all of its changing state."""

    def __init__(
        self, job: PretrainJob, photographs: dict[str, Photographs], observer: PretrainObserver
    ) -> None:
        self.job, self.config, self.observer = job, job.config, observer
        self.photographs = photographs
        self.store: PhotographStore | None = None
        backbone = BACKBONES[self.config.backbone]
        # Initialised on the CPU, so that every device starts with the same weights.
        torch.default_generator.manual_seed(self.config.seed)
        model = backbone.build()
        backbone.initialize(model)
        if job.weights is not None:
            model.load_state_dict(job.weights.state)
        model.path = "fast"
        self.model = model.to(job.device)
        self.mask_size = backbone.mask_size
        encoder = model.image_encoder
        assert isinstance(encoder, PlainEncoder)
        self.drop_path = DropPath([*encoder.blocks], self.config.drop_path)
        self.average = Average(self.model, self.config.average_decay)
        self.optimizers = make_optimizers(
            self.model, self.config.optimizer, self.config.lr, fused=job.device.type == "cuda"
        )
        self.sums = torch.zeros(len(LOSS_NAMES) + 1, device=job.device)
        self.progress = Progress(protocol=DEFAULT_PROTOCOL)
        self._held_out: list[HeldOut] = []
        self._stop = StopRequest()
        self._logged = (0, 0.0)
        if has_sharded(job.folder):
            self.progress = load_checkpoint(job.folder, self.model, self.average, self.optimizers, self.sums)

    @property
    def images(self) -> int:
        """Number of images seen so far."""
        return self.progress.step * self.config.batch_size

    def share_done(self) -> float:
        """Returns the finished share of the training, 0..1, by images or by time."""
        if self.config.images is not None:
            return min(1.0, self.images / self.config.images)
        return min(1.0, self.progress.seconds / (3600 * (self.config.hours or math.inf)))

    def whole_card(self) -> Card | None:
        """Returns the card of a finished training; None if training or card is not up to date."""
        path = self.job.folder / CARD
        if self.share_done() < 1 or not path.is_file():
            return None
        try:
            card = read_struct(path, Card, what="the card of a pretraining")
        except InputError:  # an unreadable card is written again
            return None
        return card if card.steps == self.progress.step else None

    def run(self, until: float) -> None:
        """Trains to the end, with checkpoints, logs and intermediate scoring.

        Args:
            until: value of `time.perf_counter` at which training stops early.
        """
        # Before the loop: here Ctrl-C still ends the program at once, and only scoring is left after `until`.
        self.held_out()
        if "learn" in self.photographs:
            self.store = PhotographStore.load(self.photographs["learn"], self.job.device)
        with self._stop.listening():
            try:
                self._loop(until)
            except Stopped:
                self._save()
                raise

    @worker_deaths()
    def _loop(self, until: float) -> None:
        device = self.job.device
        pictures = PretrainingSet(
            seed=self.config.seed,
            size=self.model.image_size,
            batch_size=self.config.batch_size * self._steps_at_once(),
            at_once=scenes_at_once(device),
            photographs=self.store.shapes if self.store else None,
            share=self.config.share_of_photos,
            objects=self.config.objects,
            object_size=self.config.object_size,
        )
        numbers = itertools.count(self.progress.step // self._steps_at_once())
        with closing(loader(pictures, numbers, self.job.workers, device.type == "cuda")) as packed:
            self._train(self._targets(each.unpack(device) for each in packed), until)

    def _targets(self, draws: Iterable[Draws]) -> Iterator[ClickTargets]:
        """Yields the images, clicks and masks of one step after the other, from the present one on."""
        made = (
            draw_targets(
                make_pictures(each, self.store), self.config.clicks, self.mask_size, self.config.augment
            )
            for each in draws
        )
        return steps_of(made, self.config.batch_size, self.progress.step % self._steps_at_once())

    def _steps_at_once(self) -> int:
        """Number of steps whose images are made together, since a GPU would wait for those of a small batch.

        With photographs it is 1, as scenes precede them in what is made together.
        """
        return 1 if self.store else max(1, scenes_at_once(self.job.device) // self.config.batch_size)

    def _train(self, targets: Iterator[ClickTargets], until: float) -> None:
        self._stage_train()
        clock = saved = time.perf_counter()
        self._logged = (self.progress.step, self.progress.seconds)
        while self.share_done() < 1 and time.perf_counter() < until:
            if self.images - self.progress.scored >= self.config.score_every:
                self._score()
                self._save()
                draw_curves(self.job.folder, self.progress)
                self._stage_train()
                saved = time.perf_counter()
            self._step(next(targets))
            now = time.perf_counter()
            self.progress.seconds, clock = self.progress.seconds + now - clock, now
            self.observer.advance(self.config.batch_size)
            if self.progress.step % _LOG_EVERY == 0:
                self._log()
            self._check_stop()
            if now - saved > _SAVE_SECONDS:
                self._save()
                saved = time.perf_counter()
        if self.sums[-1] > 0:
            self._log()
        self._save()

    def _check_stop(self) -> None:
        if self._stop.signal is not None:
            raise Stopped(
                f"stopped; everything is saved in {self.job.folder}: the same command goes on from here"
            )

    def _step(self, targets: ClickTargets) -> None:
        """Trains on the images of a step, without synchronising with the GPU."""
        device, share = self.job.device, self.share_done()
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self._rate(share)
        self.drop_path.draw(targets.seeds)
        learned = share - self.config.feature_share
        balance = max(0.0, 1 - max(0.0, learned) / RECIPE.balanced_share)
        prompts = prompts_of(targets, StepDraws(self.config.prompts, self.config.seed, 0, self.progress.step))
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            embeddings = self.model.embed(targets.images)
            assert isinstance(embeddings, Tensor)  # `PretrainConfig` takes SAM alone.
            answers = list(decode_rounds(self.model, embeddings, prompts))
        losses = [mask_losses(logits, iou, prompts.masks, balance) for logits, iou in answers]
        entropy, dice, iou_error = (torch.stack(parts).mean() for parts in zip(*losses, strict=True))
        pairs = pair_loss(embeddings, targets.regions)
        answers_loss = (entropy + dice + iou_error) * float(learned >= 0)
        loss = answers_loss + RECIPE.pair_weight * (1 - share) * pairs
        self.model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), RECIPE.gradient_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.progress.step += 1
        self.average.update(self.model, self.progress.step)
        # Summed on the device: reading the losses here would synchronise with the GPU in every step.
        self.sums += torch.stack([entropy, dice, iou_error, pairs, torch.ones_like(pairs)]).detach()

    def _rate(self, share: float) -> float:
        """Returns the learning rate: linear warm-up, times a cosine from 1 down to `RECIPE.last_rate`."""
        warm = min(1.0, (self.progress.step + 1) / RECIPE.warm_up_steps)
        low: float = RECIPE.last_rate
        return self.config.lr * warm * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * share)))

    def _losses(self) -> dict[str, float]:
        """Returns the mean losses since the last log line; synchronises with the GPU."""
        losses = mean_losses(self.sums)
        if not all(map(math.isfinite, losses.values())):
            raise AimsError(
                f"a loss is not finite after {self.images:,} images ({losses}): try a lower --lr than "
                f"{self.config.lr:g} (what was saved last is kept in {self.job.folder})"
            )
        return losses

    def _log(self) -> None:
        losses = self._losses()
        self.sums.zero_()
        step, seconds = self._logged
        took = max(self.progress.seconds - seconds, 1e-9)
        self.progress.lines.append(
            {
                "step": self.progress.step,
                "images": self.images,
                "seconds": round(self.progress.seconds, 1),
                "images_per_second": round((self.progress.step - step) * self.config.batch_size / took, 1),
                "lr": self.optimizers[0].param_groups[0]["lr"],
                **losses,
            }
        )
        self._logged = (self.progress.step, self.progress.seconds)
        self.observer.advance(0, loss=losses["entropy"] + losses["dice"])

    def _stage_train(self) -> None:
        self.observer.stage("train", self.config.images or 0, self.images)

    def _save(self) -> None:
        # Raises for losses that are not finite, so that the last good checkpoint is kept.
        self._losses()
        save_checkpoint(self.job.folder, self.model, self.average, self.optimizers, self.sums, self.progress)

    def held_out(self) -> list[HeldOut]:
        """Returns the held-out sets; the first call makes them and scores discs on them."""
        if not self._held_out:
            size, config = self.model.image_size, self.config
            protocol = find_protocol(self.progress.protocol)
            self.observer.stage("held-out pictures", 3)
            self._held_out = [
                held_out_scenes(name, config.held_out, size, config.seed, protocol) for name in SCENE_FAMILIES
            ]
            if "val" in self.photographs:
                val, train = self.photographs["val"], self.photographs["train"]
                self._held_out.append(held_out_photographs(val, train, size, protocol))
            for held_out in self._held_out:
                if held_out.name not in self.progress.floors:
                    self.progress.floors[held_out.name] = disc_scores(held_out)
        return self._held_out

    def _score(self) -> None:
        """Scores the averaged weights, and records and reports the scores."""
        # Copies, because `load_state_dict` writes into the tensors of the model.
        kept = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.average.state(self.model))
        try:
            scores = self._scores(self.config.precision)
        finally:
            self.model.load_state_dict(kept)
        self.progress.scored = self.images
        self._note(scores)
        self.observer.scored(self.images, self.progress.seconds, scores, self.progress.floors)

    def _note(self, scores: Mapping[str, ClickScores]) -> None:
        """Adds a line of scores to metrics.jsonl."""
        line: Line = {
            "step": self.progress.step,
            "images": self.images,
            "seconds": round(self.progress.seconds, 1),
        }
        for name, found in scores.items():
            line |= {f"{name}_miou": found.miou, f"{name}_miou_large": found.miou_large}
        self.progress.lines.append(line)

    def _scores(self, precision: str) -> dict[str, ClickScores]:
        held_outs = self.held_out()
        self.observer.stage("score", len(held_outs))
        scores = {}
        for held_out in held_outs:
            scores[held_out.name] = score(
                self.model, held_out, precision=precision, before_each=self._check_stop
            )
            self.observer.advance(1)
        return scores

    def finish(self) -> Card:
        """Writes the averaged weights as float16, and the card with the scores of exactly these weights."""
        folder, began = self.job.folder, time.perf_counter()
        write_weights(folder / WEIGHTS, self.average.state(self.model))
        self.model.load_state_dict(load_weights(self.config.backbone, folder / WEIGHTS).state)
        scores = self._scores("float32")
        card = write_card(
            folder,
            settings=settings_of(self.job),
            progress=self.progress,
            share_done=self.share_done(),
            scores=scores,
            photographs=self.photographs,
            model=self.model,
            device=self.job.device,
            scoring_seconds=time.perf_counter() - began,
            earlier=self.job.earlier,
        )
        # After the checkpoint, which does not contain these scores: training can still resume from it.
        self._note(scores)
        write_metrics(folder, self.progress)
        draw_curves(folder, self.progress)
        return card
