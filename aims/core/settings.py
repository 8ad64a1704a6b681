"""How a dataclass declares the settings of a run: help, default, limits and label beside each field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, get_args, get_type_hints


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What `RunConfig` declares of a setting; the command line, suites, `plan` and reports derive from it.

    Attributes:
        name: of the field.
        kind: `str`, `int` or `float`.
        optional: whether a record may hold None in its place.
        help: line of `aims run --help`.
        required: whether it has to be given.
        default: where it is not given; None where the run decides (see `aims.engine.plan.plan`).
        metavar: what stands for the value on the help page; empty for click's own word.
        choices: the values that there are; empty where a registry of its name holds them, or any will do.
        least: the least value; None where there is none.
        replaced: its value where nothing is trained ("untrained"), or where there is no model ("modelless").
        label: the words for its value in reports, as a format; empty where other columns show it.
        place: place of the label among the others; those of one place keep the order of the fields.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    optional: bool
    help: str
    required: bool
    default: Any
    metavar: str
    choices: tuple[str, ...]
    least: int | None
    replaced: Mapping[str, Any]
    label: str
    place: int

    @property
    def option(self) -> str:
        """The name on the command line and in suites, without the leading hyphens: "batch-size"."""
        return self.name.replace("_", "-")


def setting(
    text: str,
    *,
    required: bool = False,
    default: Any = None,
    since: Any = dataclasses.MISSING,
    in_hash: bool = False,
    metavar: str = "",
    choices: tuple[str, ...] = (),
    least: int | None = None,
    untrained: Any = dataclasses.MISSING,
    modelless: Any = dataclasses.MISSING,
    label: str = "",
    place: int = 5,
) -> Any:
    """Declares a field of `RunConfig` that is a setting.

    Args:
        text: line of `aims run --help`.
        required: whether it has to be given.
        default: of the command.
        since: of a setting that is younger than some records: the value in all of those, and its default. The
            hash leaves it out, so that runs keep their names.
        in_hash: whether the hash holds it even so.
        metavar: see `Setting`.
        choices: see `Setting`.
        least: see `Setting`.
        untrained: its value where nothing is trained; left out where that makes no difference.
        modelless: its value where there is no model; likewise.
        label: see `Setting`.
        place: see `Setting`.
    """
    replaced = {"untrained": untrained, "modelless": modelless}
    described = {
        "help": text,
        "required": required,
        "default": default if since is dataclasses.MISSING else since,
        "metavar": metavar,
        "choices": choices,
        "least": least,
        "replaced": {case: to for case, to in replaced.items() if to is not dataclasses.MISSING},
        "label": label,
        "place": place,
    }
    hashed = in_hash or since is dataclasses.MISSING
    return field(default=since, metadata={"setting": described, "hashed": hashed})


def declared_settings(config: type[Any]) -> Mapping[str, Setting]:
    """The settings that a dataclass declares with `setting`, by name, in the order of its fields."""
    types = get_type_hints(config)
    found = {}
    for item in dataclasses.fields(config):
        if "setting" in item.metadata:
            kinds = get_args(types[item.name]) or (types[item.name],)
            found[item.name] = Setting(
                name=item.name, kind=kinds[0], optional=len(kinds) > 1, **item.metadata["setting"]
            )
    return MappingProxyType(found)
