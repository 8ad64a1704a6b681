"""The output of a pretraining: weights, model card, curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from aims.core.config import RANDOM_WEIGHTS
from aims.core.errors import InputError
from aims.core.files import atomic_write, sha256_file, write_json, write_text
from aims.core.records import Code, Hardware
from aims.core.structs import Count, Digest, Share, read_struct
from aims.core.vocabulary import STRICT
from aims.engine.cards import render_card
from aims.engine.checkpoint import save_tensors
from aims.engine.machine import commit, hardware, peak_memory
from aims.pretrain.checkpoint import Progress
from aims.pretrain.photographs import Photographs
from aims.pretrain.pictures import FAMILY
from aims.pretrain.scores import LARGE, ClickScores, HeldOutScores
from aims.pretrain.settings import HELD_OUT_SEED, PretrainSettings
from aims.pretrain.step import LOSS_NAMES
from aims.version import __version__

WEIGHTS, CARD, README, CURVES = "weights.safetensors", "card.json", "README.md", "curves.png"

_TEMPLATE = Path(__file__).with_name("card.md.j2")
_SCENES_ONLY = "Apache-2.0, as AIMS: only scenes that AIMS generates were learned from."
_WITH_PHOTOGRAPHS = (
    "NOT TO BE SHIPPED: photographs were learned from as well. Those of BSDS500 are given for research, with "
    "citation (Arbelaez, Maire, Fowlkes and Malik, PAMI 2011), and not under a free licence; neither may "
    "these weights be passed on under one."
)
_FROM_OTHERS = (
    "NOT TO BE SHIPPED before it is checked: training started from weights without a card that allows it."
)
_KINDS = {
    "wilds": "held-out scenes of the family that was learned",
    "rooms": "held-out scenes of the other family, with other shapes, textures and materials",
    "photographs": "validation photographs (BSDS500's layout), regions drawn by people; a figure only",
}


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Writes a state dict in float16, which `aims.models.weights` loads as float32."""
    save_tensors(path, {name: tensor.to("cpu", torch.float16) for name, tensor in state.items()}, {})


class CardWeights(msgspec.Struct, frozen=True, kw_only=True):
    """Facts of the weights file."""

    file: str
    bytes: Count
    sha256: Digest


class CardScenes(msgspec.Struct, frozen=True, kw_only=True):
    """The generated scenes of the training data."""

    family: str
    seed: int


class CardSources(msgspec.Struct, frozen=True, kw_only=True):
    """The training data: generated scenes, and the number of photographs."""

    scenes: CardScenes
    photographs: Count


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """The content of card.json, in the order of the file.

    Attributes:
        model: name in `BACKBONES`.
        license: licence of the weights, in words.
        shippable: whether the weights may be redistributed under it.
        weights: facts of the weights file.
        parameters: number of parameters.
        images_seen: number of training images seen.
        steps: number of training steps.
        share_done: finished share of the planned training, 0..1.
        seconds: duration of training, including intermediate scoring.
        scoring_seconds: duration of the final scoring.
        peak_memory_bytes: peak memory of the process.
        hardware: hardware of the training.
        settings: configuration and recipe.
        earlier: card of the weights that training started from; None if they were random or have no card.
        learned_from: scenes and photographs of the training data.
        held_out_seed: seed of the held-out scenes.
        large_share: smallest share of the image that a large instance covers.
        scores: scores of the written weights in float32 and of discs, by held-out set.
        protocol: protocol of the scores; "strict" in cards of earlier versions, which do not say it.
        code: versions of the software.
        written: time of writing, ISO 8601 in UTC.
    """

    model: str
    license: str
    shippable: bool
    weights: CardWeights
    parameters: Count
    images_seen: Count
    steps: Count
    share_done: Share
    seconds: float
    scoring_seconds: float
    peak_memory_bytes: Count
    hardware: Hardware
    settings: PretrainSettings
    earlier: Card | None = None
    learned_from: CardSources
    held_out_seed: int
    large_share: Share
    scores: dict[str, HeldOutScores]
    protocol: str = STRICT.name
    code: Code
    written: str

    def as_json(self) -> dict[str, Any]:
        """Returns the JSON object with its keys in the order of the file."""
        content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(self))
        return content


def find_card(weights: Path, sha256: str) -> Card | None:
    """Reads the card beside a file of weights; None where there is none, or one of other weights.

    Args:
        weights: the file of weights.
        sha256: SHA-256 of the file, in hexadecimal.
    """
    try:
        card = read_struct(weights.with_name(CARD), Card, what="a model card")
    except InputError:
        # Weights from elsewhere may have another file of this name beside them.
        return None
    return card if card.weights.sha256 == sha256 else None


def write_card(
    folder: Path,
    *,
    settings: PretrainSettings,
    progress: Progress,
    share_done: float,
    scores: Mapping[str, ClickScores],
    photographs: Mapping[str, Photographs],
    model: nn.Module,
    device: torch.device,
    scoring_seconds: float,
    earlier: Card | None = None,
) -> Card:
    """Writes card.json and README.md for the weights in a folder.

    Args:
        folder: folder of the pretraining, which holds the weights.
        settings: configuration and recipe.
        progress: state of the training.
        share_done: finished share of the planned training, 0..1.
        scores: scores of the written weights by held-out set.
        photographs: photographs of the training ("learn") and of the scoring.
        model: the model, whose parameters are counted.
        device: device of the training.
        scoring_seconds: duration of the final scoring, which `progress` does not include.
        earlier: card of the weights that training started from.
    """
    weights, learned = folder / WEIGHTS, photographs.get("learn")
    free = settings.weights == RANDOM_WEIGHTS or (earlier is not None and earlier.shippable)
    card = Card(
        model=settings.backbone,
        license=_WITH_PHOTOGRAPHS if learned else _SCENES_ONLY if free else _FROM_OTHERS,
        shippable=free and learned is None,
        weights=CardWeights(file=WEIGHTS, bytes=weights.stat().st_size, sha256=sha256_file(weights)),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        images_seen=progress.step * settings.batch_size,
        steps=progress.step,
        share_done=round(share_done, 4),
        seconds=round(progress.seconds, 1),
        scoring_seconds=round(scoring_seconds, 1),
        peak_memory_bytes=peak_memory(device),
        hardware=hardware(device),
        settings=settings,
        earlier=earlier,
        learned_from=CardSources(
            scenes=CardScenes(family=FAMILY, seed=settings.seed),
            photographs=len(learned.names) if learned else 0,
        ),
        held_out_seed=HELD_OUT_SEED,
        large_share=LARGE,
        scores={name: HeldOutScores.of(found, progress.floors[name]) for name, found in scores.items()},
        protocol=progress.protocol,
        code=Code(aims=__version__, commit=commit(), torch=str(torch.__version__)),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    content = card.as_json()
    write_json(folder / CARD, content)
    rows = [_score_row(name, numbers) for name, numbers in card.scores.items()]
    chain = _chain(content["earlier"])
    readme = render_card(_TEMPLATE, content, rows=rows, kinds=_KINDS, curves=CURVES, chain=chain)
    write_text(folder / README, readme)
    return card


def _chain(card: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yields a card, the card of the weights that it started from, and so on."""
    while card is not None:
        yield card
        card = card["earlier"]


def _score_row(name: str, numbers: HeldOutScores) -> list[str]:
    return [
        name,
        f"{numbers.instances:,}",
        *(f"{100 * share:.1f}" for share in (numbers.miou, numbers.disc, numbers.best_disc)),
        f"{numbers.large_instances:,}",
        *(
            f"{100 * share:.1f}"
            for share in (numbers.miou_large, numbers.disc_large, numbers.best_disc_large)
        ),
    ]


def draw_curves(folder: Path, progress: Progress) -> None:
    """Plots losses and scores over the number of images seen."""
    losses = [line for line in progress.lines if LOSS_NAMES[0] in line]
    scores = [line for line in progress.lines if "wilds_miou" in line]
    # Not pyplot, which keeps global state and every figure until it is closed.
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in LOSS_NAMES:
        left.plot([line["images"] for line in losses], _smooth([line[name] for line in losses]), label=name)
    left.set(xlabel="images", ylabel="loss, smoothed")
    left.legend()
    for colour, (name, floors) in enumerate(progress.floors.items()):
        key = f"{name}_miou"
        drawn = [(line["images"], 100 * line[key]) for line in scores if key in line]
        right.plot(*zip(*drawn, strict=True) if drawn else ((), ()), f"C{colour}.-", label=name)
        right.axhline(100 * floors.disc, color=f"C{colour}", linestyle=":")
    right.set(xlabel="images", ylabel="mean IoU from one click, %  (dotted: disc)")
    if progress.floors:
        right.legend()
    with atomic_write(folder / CURVES) as beside:
        figure.savefig(beside, format="png", dpi=110)


def _smooth(values: Sequence[float]) -> list[float]:
    smoothed: list[float] = []
    for value in values:
        smoothed.append(value if not smoothed else 0.9 * smoothed[-1] + 0.1 * value)
    return smoothed
