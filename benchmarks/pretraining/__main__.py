"""Makes the pretrainings of a file of recipes one after the other, and their table.

    python -m aims.benchmarks.pretraining --out DIR [--recipes FILE] [--only NAME ...] [--images N]
        [--seconds S] [--bsds DIR] [--device auto] [--table]

Every recipe gets a folder DIR/NAME as `aims pretrain` writes it. DIR/table.md and DIR/table.json are written
after each. Ctrl-C and --seconds save; the same command goes on, and leaves finished pretrainings as they are.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aims.core.errors import AimsError
from aims.core.files import write_json, write_text
from aims.engine.stopping import Stopped
from aims.pretrain.config import plan_pretraining
from aims.pretrain.run import PretrainObserver, pretrain
from aims.pretrain.scores import ClickScores, DiscScores

from .recipes import Recipe, read_recipes
from .table import read_cards, render_table

_RECIPES = Path(__file__).with_name("recipes.toml")


class _Lines(PretrainObserver):
    """Prints a line for every score on the way."""

    def scored(
        self,
        images: int,
        seconds: float,
        scores: Mapping[str, ClickScores],
        floors: Mapping[str, DiscScores],
    ) -> None:
        found = "  ".join(f"{name} {100 * score.miou:.2f}" for name, score in scores.items())
        print(f"{images:>11,} images  {seconds:>8,.0f} s  {found}", file=sys.stderr, flush=True)


def make_all(recipes: Sequence[Recipe], options: argparse.Namespace) -> None:
    """Makes the pretrainings that are not finished, for at most `--seconds`, and the table after each.

    Raises:
        InputError: a recipe cannot be planned; nothing has been trained.
        AimsError: a pretraining failed.
        Stopped: on Ctrl-C or SIGTERM, after saving.
    """
    end = None if options.seconds is None else time.monotonic() + options.seconds
    jobs = [
        plan_pretraining(
            folder=options.out / recipe.name, bsds=options.bsds, device=options.device, **recipe.settings
        )
        for recipe in recipes
    ]
    for recipe, job in zip(recipes, jobs, strict=True):
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            print(f"{recipe.name}: not begun, no time is left", file=sys.stderr)
            continue
        print(f"{recipe.name}: {recipe.about}", file=sys.stderr)
        pretrain(dataclasses.replace(job, seconds=left), observer=_Lines())
        write_table(recipes, options.out)


def write_table(recipes: Sequence[Recipe], out: Path) -> str:
    """Writes table.md and table.json of what there is, and returns the former."""
    cards = read_cards(recipes, out)
    text = render_table(recipes, cards)
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / "table.md", text)
    write_json(out / "table.json", {name: card.as_json() for name, card in cards.items()})
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all recipes")
    parser.add_argument("--recipes", type=Path, default=_RECIPES, help="TOML with [base] and [recipes.NAME]")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these recipes")
    parser.add_argument("--images", type=int, help="images that each sees, instead of the file's")
    parser.add_argument("--seconds", type=float, help="stop after so many seconds, with everything saved")
    parser.add_argument("--bsds", type=Path, help="also score on the photographs of this folder")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--table", action="store_true", help="only write the table of what there is")
    options = parser.parse_args(arguments)
    try:
        recipes = read_recipes(options.recipes, options.only, images=options.images)
        if not options.table:
            make_all(recipes, options)
        print(write_table(recipes, options.out), end="")
    except Stopped as stopped:
        print(stopped, file=sys.stderr)
        return stopped.exit_code
    except AimsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
