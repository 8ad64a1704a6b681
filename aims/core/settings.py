"""How a dataclass declares the settings of a run: help, default, limits and label beside each field."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_type_hints

#: In place of a value that a setting does not have.
UNSET: Any = object()


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is declared of a setting; the command line, suites, `plan` and reports derive from it.

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
        untrained: its value where nothing is trained; `UNSET` where that makes no difference.
        modelless: its value where there is no model; likewise.
        label: the words for its value in reports, as a format; empty where other columns show it.
        place: place of the label among the others; those of one place keep the order of the fields.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    optional: bool
    help: str
    required: bool = False
    default: Any = None
    metavar: str = ""
    choices: tuple[str, ...] = ()
    least: int | None = None
    untrained: Any = UNSET
    modelless: Any = UNSET
    label: str = ""
    place: int = 5

    @property
    def option(self) -> str:
        """The name on the command line and in suites, without the leading hyphens: "batch-size"."""
        return self.name.replace("_", "-")


def setting(text: str, *, since: Any = UNSET, in_hash: bool = False, **declared: Any) -> Any:
    """Declares a field that is a setting.

    Args:
        text: line of `aims run --help`.
        since: of a setting that is younger than some records: the value in all of those, and its default. The
            hash leaves it out, so that runs keep their names.
        in_hash: whether the hash holds it even so.
        **declared: the other attributes of `Setting`.
    """
    default = declared.pop("default", None if since is UNSET else since)
    metadata = {"help": text, "default": default, **declared}
    kept = dataclasses.MISSING if since is UNSET else since
    return field(default=kept, metadata={"setting": metadata, "hashed": in_hash or since is UNSET})


def declared_settings(config: type[Any]) -> Mapping[str, Setting]:
    """The settings that a dataclass declares with `setting`, by name, in the order of its fields."""
    types = get_type_hints(config)
    found = {}
    for item in dataclasses.fields(config):
        if "setting" in item.metadata:
            # Of `int | float` the last; None comes behind both.
            *kinds, last = get_args(types[item.name]) or (types[item.name],)
            optional = last is NoneType
            found[item.name] = Setting(
                name=item.name,
                kind=kinds[-1] if optional else last,
                optional=optional,
                **item.metadata["setting"],
            )
    return MappingProxyType(found)
