"""Reading of recipes: settings of a base, and by name what each recipe changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aims.core.errors import InputError, unknown_name
from aims.core.files import read_toml
from aims.pretrain.settings import PRETRAIN_SETTINGS

_KEYS = {"weights": "weights"} | {item.option: name for name, item in PRETRAIN_SETTINGS.items()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One pretraining of the file.

    Attributes:
        name: name of the recipe and of its folder.
        about: what it changes, in words.
        settings: keyword arguments of `plan_pretraining`.
    """

    name: str
    about: str
    settings: Mapping[str, Any]


def read_recipes(path: Path, only: Sequence[str] = (), *, images: int | None = None) -> list[Recipe]:
    """Reads a TOML file with the tables [base] and [recipes.NAME].

    Args:
        path: the file; its keys are the options of `aims pretrain`, and "about" for a recipe.
        only: names of the recipes to return; empty for all.
        images: number of images that every recipe sees, in place of the file's.

    Raises:
        InputError: the file cannot be read, or a table, key or name is unknown.
    """
    content = read_toml(path, otherwise="give a file of recipes with --recipes")
    if set(content) != {"base", "recipes"} or not all(isinstance(part, dict) for part in content.values()):
        raise InputError(f"{path}: it must hold [base] and [recipes.NAME], and nothing else")
    base = _settings(content["base"], f"{path}: [base]")
    length = {} if images is None else {"images": images}
    found = {}
    for name, table in content["recipes"].items():
        where = f"{path}: [recipes.{name}]"
        # The name is that of a folder below --out.
        if not name.replace("-", "").replace("_", "").isalnum():
            raise InputError(f"{where}: a name has letters, digits and hyphens only")
        if not isinstance(table, dict) or not isinstance(about := table.pop("about", None), str):
            raise InputError(f'{where}: write about = "what it changes"')
        found[name] = Recipe(name=name, about=about, settings=base | _settings(table, where) | length)
    for name in only:
        if name not in found:
            raise unknown_name("recipe", name, found, where=str(path))
    return [recipe for name, recipe in found.items() if not only or name in only]


def _settings(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    for key, value in table.items():
        if key not in _KEYS:
            raise unknown_name("key", key, _KEYS, where=where)
        kind = str if key == "weights" else PRETRAIN_SETTINGS[_KEYS[key]].kind
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise InputError(f"{where}: {key} is {value!r}, not of type {kind.__name__}")
    return {_KEYS[key]: value for key, value in table.items()}
