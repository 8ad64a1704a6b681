"""Names of what is registered, for completion and for an answer at once to a misspelt one.

The registries are filled when their packages are imported, which imports torch and takes seconds. So the
names are read from the source files.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

import aims
from aims.core.errors import unknown_name

#: What is registered -> the folder of the files that register it, and the module and name of the registry.
_REGISTRIES = {
    "method": ("methods", "methods.base", "METHODS"),
    "tuning": ("models/tuning", "models.tuning.base", "TUNINGS"),
    "backbone": ("models", "models.backbone", "BACKBONES"),
    "loss": ("engine", "engine.losses", "LOSSES"),
    "format": ("engine/export", "engine.export.formats", "FORMATS"),
}
# Anything else is more than a name.
_NAME = re.compile(r"[\w-]+")


def registered_names(kind: str) -> tuple[str, ...]:
    """Returns the names of AIMS's own methods, tunings, backbones, losses or export formats, sorted.

    With them those that this process has registered.
    """
    folder, module, registry = _REGISTRIES[kind]
    here = getattr(sys.modules.get(f"aims.{module}"), registry, ())
    return tuple(sorted({*_declared(folder, registry), *here}))


@cache
def _declared(folder: str, registry: str) -> frozenset[str]:
    pattern = re.compile(rf'^@?{registry}\.register\("([^"]+)"\)', re.MULTILINE)
    texts = (file.read_text("utf-8") for file in Path(aims.__file__).parent.joinpath(folder).glob("*.py"))
    return frozenset(name for text in texts for name in pattern.findall(text))


class Name(click.ParamType):  # type: ignore[type-arg]
    """A name of a few: completed by the shell, and refused at once where it is misspelt.

    Args:
        kind: what is named, e.g. "method".
        choices: the names; None for those that are registered, to which other packages may add.
        others: names that are neither suggested nor refused.
        closed: whether no other name is right.
    """

    name = "text"

    def __init__(
        self,
        kind: str,
        choices: Collection[str] | None = None,
        others: Collection[str] = (),
        *,
        closed: bool = True,
    ) -> None:
        self._kind, self._choices, self._others, self._closed = kind, choices, others, closed

    @property
    def choices(self) -> Collection[str]:
        """The names."""
        return registered_names(self._kind) if self._choices is None else self._choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the value; raises InputError if it is none of the names."""
        known = value in self.choices or value in self._others or not _NAME.fullmatch(value)
        # What other packages register is known once they are imported.
        complete = self._choices is not None or not entry_points(group="aims.methods")
        if self._closed and complete and not known:
            raise unknown_name(self._kind, value, self.choices)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """Returns the names that begin with what is there."""
        return [CompletionItem(name) for name in sorted(self.choices) if name.startswith(incomplete)]
