"""The model card of an exported model: description, loading without AIMS, expected input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aims.core.texts import escape_markdown
from aims.core.vocabulary import TRAINING_PROMPTS
from aims.engine.cards import render_card

_CARDS = Path(__file__).parent / "cards"
#: Names in `segment_anything.sam_model_registry`; a backbone without one is built from model.json.
_REGISTERED = {"sam-vit-b": "vit_b", "sam-vit-l": "vit_l", "sam-vit-h": "vit_h"}


def model_card(description: dict[str, Any]) -> str:
    """Returns the text of README.md, which depends on the content of model.json alone."""
    given = description["input"]
    streams = given["streams"]
    return render_card(
        _CARDS / f"{description['format']}.md.j2",
        description,
        registered=_REGISTERED.get(description["backbone"]),
        size=given["size"],
        trained_on=TRAINING_PROMPTS[description["config"]["prompts"]].text,
        aligned="alignment(images)" if description.get("alignment") else "images",
        rows=[_row(stream) for stream in streams],
        unknown=any("unit" not in stream for stream in streams),
        scaled_by_type=[stream["name"] for stream in streams if stream["scaling"] == "type"],
    )


def _row(stream: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells of a stream's row in the table of inputs."""
    name = f"`{stream['name']}`"
    rule = "not known" if stream["scaling"] is None else f"`{stream['scaling']}`"
    if "unit" not in stream:
        return (name, *4 * ("not known",), rule)
    bounds, missing = stream["valid_range"], stream["missing"]
    return (
        name,
        str(stream["channels"]),
        escape_markdown(stream["unit"]),
        "none" if bounds is None else f"{bounds[0]} to {bounds[1]}",
        "none" if missing is None else str(missing),
        rule,
    )
