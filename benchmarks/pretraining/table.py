"""The table of finished and unfinished pretrainings, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aims.core.structs import read_struct
from aims.methods import BACKBONES
from aims.models.flops import count_flops
from aims.pretrain.card import CARD, Card
from aims.pretrain.scores import HeldOutScores

from .recipes import Recipe

_SETS = ("wilds", "rooms", "photographs")


def read_cards(recipes: Sequence[Recipe], out: Path) -> dict[str, Card]:
    """Reads the model cards of the recipes that have one, by name.

    Raises:
        InputError: a card is damaged.
    """
    paths = {recipe.name: out / recipe.name / CARD for recipe in recipes}
    return {
        name: read_struct(path, Card, what="the card of a pretraining")
        for name, path in paths.items()
        if path.is_file()
    }


def render_table(recipes: Sequence[Recipe], cards: Mapping[str, Card]) -> str:
    """Renders a Markdown table: mIoU of every recipe with a card, those of discs above, and the cost.

    Args:
        recipes: the recipes, in the order of the rows.
        cards: model cards by name of the recipe.
    """
    if not cards:
        return "No recipe has a card yet.\n"
    sets = [name for name in _SETS if any(name in card.scores for card in cards.values())]
    head = ["recipe", "what is changed"]
    head += [f"{name}, {size}" for name in sets for size in ("all", "large")]
    head += ["images", "steps", "hours", "ms an image", "million parameters", "GFLOP an answer"]
    rows = [head, ["---", "---", *["---:"] * (len(head) - 2)]]
    floors: dict[str, tuple[Callable[[HeldOutScores], float], ...]] = {
        "disc": (lambda found: found.disc, lambda found: found.disc_large),
        "best disc": (lambda found: found.best_disc, lambda found: found.best_disc_large),
    }
    # Discs depend on nothing but the scenes; the radius of `disc` also on the seed.
    first = next(iter(cards.values()))
    for name, shares in floors.items():
        rows.append([name, "", *_percent(first, sets, shares), *[""] * 6])
    for recipe in recipes:
        if recipe.name in cards:
            rows.append(_row(recipe, cards[recipe.name], sets))
    protocols = ", ".join(sorted({card.protocol for card in cards.values()}))
    devices = ", ".join(sorted({f"{card.hardware.device} ({card.hardware.name})" for card in cards.values()}))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    about = f"mIoU in percent from one click, protocol {protocols}; on {devices}."
    return "\n".join([f"{about} Hours include the scores on the way.", "", *lines]) + "\n"


def _row(recipe: Recipe, card: Card, sets: Sequence[str]) -> list[str]:
    done = "" if card.share_done >= 1 else f" ({card.share_done:.0%} done)"
    shares = _percent(card, sets, (lambda found: found.miou, lambda found: found.miou_large))
    operations = count_flops(BACKBONES[card.settings.backbone].build()).forward
    return [
        recipe.name,
        recipe.about + done,
        *shares,
        f"{card.images_seen:,}",
        f"{card.steps:,}",
        f"{card.seconds / 3600:.2f}",
        f"{1000 * card.seconds / max(1, card.images_seen):.0f}",
        f"{card.parameters / 1e6:.2f}",
        f"{operations / 1e9:.2f}",
    ]


def _percent(
    card: Card, sets: Sequence[str], shares: Sequence[Callable[[HeldOutScores], float]]
) -> list[str]:
    return [
        f"{100 * share(card.scores[name]):.2f}" if name in card.scores else ""
        for name in sets
        for share in shares
    ]
