"""Finding the converters that are installed, ours and anyone's."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_type_hints

from aims.core.errors import AimsError, InputError, unknown_name
from aims.core.schema import Converter

GROUP = "aims.converters"
#: Entry points of functions that return entry points of converters, one for each file of a folder.
ZOO_GROUP = "aims.zoo"


def installed_converters() -> Mapping[str, EntryPoint]:
    """Converters by name, of the entry points `aims.converters` and `aims.zoo`; anyone can ship one."""
    found = [*entry_points(group=GROUP)]
    for zoo in entry_points(group=ZOO_GROUP):
        try:
            found += zoo.load()()
        except Exception:
            found.append(zoo)  # loading it as a converter says why it cannot be used
    return {entry.name: entry for entry in sorted(found, key=lambda entry: entry.name)}


def load_converter(name: str) -> type[Converter]:
    """Imports a converter.

    Raises:
        InputError: there is none of that name.
        AimsError: it cannot be imported.
    """
    found = installed_converters()
    if name not in found:
        raise unknown_name("converter", name, found)
    try:
        converter = found[name].load()
    except Exception as error:
        raise AimsError(f"converter {name!r} ({found[name].value}) cannot be imported: {error}") from error
    if not (inspect.isclass(converter) and issubclass(converter, Converter)):
        raise AimsError(f"converter {name!r} ({found[name].value}) is not an aims.core.schema.Converter")
    return converter


def make_converter(name: str, options: Mapping[str, Any]) -> Converter:
    """Makes a converter from options by name; a text stands for a path where a path is wanted.

    Raises:
        InputError: there is no converter of that name, or an option is unknown, missing or refused.
        AimsError: the converter cannot be imported.
    """
    kind = load_converter(name)
    hints, fields = get_type_hints(kind), {item.name: item for item in dataclasses.fields(kind)}
    for option in options:
        if option not in fields:
            raise unknown_name("option", option, fields, where=f"converter {name!r}")
    for item in fields.values():
        if item.name not in options and item.default is dataclasses.MISSING:
            raise InputError(f"converter {name!r}: needs {item.name} ({item.metadata['help']})")
    given = {
        option: Path(value) if isinstance(value, str) and "Path" in str(hints[option]) else value
        for option, value in options.items()
    }
    return kind(**given)
