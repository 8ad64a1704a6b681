"""Declaration of the settings of a run as dataclass fields with help, default, limits and label."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from numbers import Integral, Real
from types import MappingProxyType, NoneType
from typing import Any, get_args, get_type_hints

from aims.core.errors import InputError

#: Sentinel for an attribute that a setting does not have; None is a valid value.
UNSET: Any = object()
_KINDS: Mapping[type, tuple[Any, str]] = MappingProxyType(
    {str: (str, "a text"), int: (Integral, "a whole number"), float: (Real, "a number")}
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The declaration of a setting, from which the command line, suites, `plan` and reports derive.

    Attributes:
        name: name of the field.
        kind: type of the value: `str`, `int` or `float`.
        optional: whether None is allowed in a record.
        help: line of `aims run --help`.
        required: whether the setting has to be given.
        default: default value; None if `aims.engine.plan.plan` determines it.
        metavar: placeholder of the value on the help page; empty for click's default.
        choices: allowed values; empty if a registry holds them or any value is allowed.
        registered: whether a registry holds the allowed values.
        least: smallest allowed value; None for no limit.
        untrained: fixed value for methods that train nothing; `UNSET` if the setting still applies.
        modelless: fixed value for methods without a model; `UNSET` if the setting still applies.
        label: format string of the value in reports; empty if other columns show it.
        absent: words for None in reports, beside values of others; empty if nothing is said.
        place: rank of the label among all labels; equal ranks keep the order of the fields.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    optional: bool
    help: str
    required: bool = False
    default: Any = None
    metavar: str = ""
    choices: tuple[str, ...] = ()
    registered: bool = False
    least: int | None = None
    untrained: Any = UNSET
    modelless: Any = UNSET
    label: str = ""
    absent: str = ""
    place: int = 5

    @property
    def option(self) -> str:
        """Name on the command line and in suites without leading hyphens, e.g. "batch-size"."""
        return self.name.replace("_", "-")

    def words(self, value: Any) -> str:
        """A value in reports, e.g. "8 images"; empty if nothing is said of it."""
        return self.absent if value is None else self.label.format(value)

    def read(self, value: Any) -> Any:
        """Checks the type of a value, and returns it as `kind`; NumPy's numbers become Python's.

        Raises:
            InputError: the value is not of the setting's type.
        """
        kind, words = _KINDS[self.kind]
        # bool is a subclass of int.
        if isinstance(value, kind) and not isinstance(value, bool):
            with suppress(OverflowError):  # an integer that no float can hold
                read = self.kind(value)
                if read != "" and not (isinstance(read, float) and not math.isfinite(read)):
                    return read
        raise InputError(f"{self.option!r} is {value!r}, not {words}")


def setting(text: str, *, since: Any = UNSET, in_hash: bool = False, **declared: Any) -> Any:
    """Declares a field that is a setting.

    Args:
        text: line of `aims run --help`.
        since: for a setting that is newer than some records: its value in those, and its default. The hash
            leaves out this value, so that earlier runs keep their names.
        in_hash: whether the hash contains the setting even if it has the value of `since`.
        **declared: other attributes of `Setting`.
    """
    default = declared.pop("default", None if since is UNSET else since)
    metadata = {"help": text, "default": default, **declared}
    # Only newer settings have a default in the dataclass: records have to contain all others.
    kept = dataclasses.MISSING if since is UNSET else since
    return field(default=kept, metadata={"setting": metadata, "hashed": in_hash or since is UNSET})


def declared_settings(config: type[Any]) -> Mapping[str, Setting]:
    """Returns the settings that a dataclass declares with `setting`, by name, in the order of its fields."""
    types = get_type_hints(config)
    found = {}
    for item in dataclasses.fields(config):
        if "setting" in item.metadata:
            # `int | float` counts as float, its last member; None comes after both.
            *kinds, last = get_args(types[item.name]) or (types[item.name],)
            optional = last is NoneType
            found[item.name] = Setting(
                name=item.name,
                kind=kinds[-1] if optional else last,
                optional=optional,
                **item.metadata["setting"],
            )
    return MappingProxyType(found)
