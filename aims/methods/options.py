"""The options of methods and tunings: the fields of their dataclasses, converted by their annotations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from aims.core.config import NO_TUNING, SETTINGS, Option
from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import Modality
from aims.methods.base import METHODS, Baseline
from aims.models.tuning import TUNINGS, Tuning

#: Largest value of an option and of channels: sizes made of larger ones overflow torch's 64 bits.
LARGEST = 2**20
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "none"}


def known_options(method: str, tuning: str) -> dict[str, Option]:
    """Returns the options of a method and a tuning with their defaults, the method's first.

    Raises:
        InputError: a name is unknown.
    """
    found = option_defaults(METHODS[method])
    if _applies(method, tuning):
        found |= option_defaults(TUNINGS[tuning])
    return found


def all_options() -> dict[str, tuple[str, ...]]:
    """Returns every option of all methods and tunings, with the names of those that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for registry in (METHODS, TUNINGS):
        for entry, kind in registry.items():
            for name in option_defaults(kind):
                found[name] = (*found.get(name, ()), entry)
    return found


def read_option(name: str, value: object, entry: type[Any]) -> Option:
    """Reads an option of a method or a tuning by the annotation of its field.

    Args:
        name: name of the option.
        value: a value of the annotated type, a number of NumPy, or a string to convert to it, as given on a
            command line.
        entry: the class in `METHODS` or `TUNINGS`.

    Raises:
        InputError: the value is not of the annotated type, which the message names, or above `LARGEST`.
    """
    kind = get_type_hints(entry)[name]
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not all(each in _WORDS or get_origin(each) is Literal for each in kinds):
        raise InputError(
            f"{entry.__qualname__} annotates its option {name!r} with {kind}; take bool, int, float, str, a "
            "Literal, None, or a union of these"
        )
    if value == "none" and NoneType in kinds:
        return None
    try:
        plain = value.item() if isinstance(value, np.generic) else value
        read: Option = msgspec.convert(plain, kind, strict=False)
        if isinstance(read, float) and not math.isfinite(read):
            raise msgspec.ValidationError
    except msgspec.ValidationError:
        words = [_WORDS.get(each) or f"one of {', '.join(map(str, get_args(each)))}" for each in kinds]
        raise InputError(f"--{name.replace('_', '-')} is {value!r}, not {' or '.join(words)}") from None
    if isinstance(read, int | float):
        require_size(name, read)
    return read


def read_any_option(name: str, value: object) -> Option:
    """Reads an option whose method or tuning is not known yet, by the first entry that accepts the value.

    Raises:
        InputError: no method or tuning has an option of that name that accepts the value.
    """
    errors = [unknown_name("option", name, all_options())]
    for entry in (*METHODS.values(), *TUNINGS.values()):
        if name in option_defaults(entry):
            try:
                return read_option(name, value, entry)
            except InputError as error:
                errors.append(error)
    raise errors[min(1, len(errors) - 1)]


def changed_options(method: str, tuning: str, given: Mapping[str, object]) -> dict[str, Option]:
    """Checks options and keeps those that differ from their defaults, in order of name.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none".
        given: values by name; strings are converted to the options' types, as given on a command line.

    Raises:
        InputError: an option is unknown to both, or its value is not of its type or above `LARGEST`.
    """
    known, of_method = known_options(method, tuning), option_defaults(METHODS[method])
    values: dict[str, Option] = {}
    for name, value in given.items():
        if name not in known:
            raise unknown_name("option", name, known, where=f"method {method!r}, tuning {tuning!r}")
        entry = METHODS[method] if name in of_method else TUNINGS[tuning]
        values[name] = read_option(name, value, entry)
    return {name: values[name] for name in sorted(values) if values[name] != known[name]}


def option_defaults(entry: type[Any]) -> dict[str, Any]:
    """Returns the fields of a method's or tuning's class with their defaults.

    Raises:
        InputError: a field has no default.
    """
    found = {}
    for field in dataclasses.fields(entry):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if default is dataclasses.MISSING:
            raise InputError(f"{entry.__qualname__}: option {field.name!r} needs a default")
        found[field.name] = default
    return found


def require_size(name: str, value: float) -> None:
    """Checks that a number, given as `--name`, is not above `LARGEST`.

    Raises:
        InputError: the number is above `LARGEST`.
    """
    if value > LARGEST:
        raise InputError(f"--{name.replace('_', '-')} {value} is more than {LARGEST:,}: is it a slip?")


def configure(method: str, tuning: str, options: Mapping[str, object]) -> tuple[Baseline, Tuning | None]:
    """Instantiates a method and a tuning with their options.

    Returns:
        The method and the tuning, or None for the tuning if the method has its own or nothing is trained.

    Raises:
        InputError: a name is unknown, an option is invalid, or method and tuning do not go together.
    """
    require_pair(method, tuning)
    values = changed_options(method, tuning, options)
    own = option_defaults(METHODS[method])
    of_method: dict[str, Any] = {name: value for name, value in values.items() if name in own}
    chosen = METHODS[method](**of_method)
    if not _applies(method, tuning):
        return chosen, None
    return chosen, TUNINGS[tuning](**{k: v for k, v in values.items() if k not in of_method})


def require_pair(method: str, tuning: str) -> None:
    """Checks that a method and a tuning go together.

    Raises:
        InputError: a name is unknown, or the two do not go together; the message gives the reason.
    """
    chosen = METHODS[method]
    if tuning != NO_TUNING:
        TUNINGS[tuning]
    require_free_names(method, tuning, SETTINGS, "`aims run`")
    objection = chosen().tuning_objection(tuning)
    if _applies(method, tuning):
        shared = sorted(option_defaults(chosen).keys() & option_defaults(TUNINGS[tuning]).keys())
        if shared:
            objection = f"both have an option {shared[0]!r}, and one of them has to be renamed"
    if chosen.own_tuning is None and tuning == NO_TUNING:
        objection = f"it has to be tuned: choose one of {', '.join(TUNINGS)}"
    elif chosen.own_tuning is not None and tuning != chosen.own_tuning:
        objection = objection or f"it is a tuning of its own, {chosen.own_tuning!r}"
    if objection is not None:
        raise InputError(f"method {method!r} does not go with tuning {tuning!r}: {objection}")


def require_free_names(method: str, tuning: str, taken: Collection[str], owner: str) -> None:
    """Checks that no option of a method or a tuning has a name that is taken.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none".
        taken: the names that are taken, with underscores instead of hyphens.
        owner: the command that has these names, for the error message.

    Raises:
        InputError: an option has one of these names.
    """
    for name in known_options(method, tuning):
        if name in taken:
            raise InputError(
                f"method {method!r} or tuning {tuning!r} has an option {name!r}, as {owner} itself has; "
                "it has to be renamed"
            )


def require_modality(method: str, modality: Modality) -> None:
    """Checks that a method and a modality, with its channels, go together.

    Raises:
        InputError: the method is unknown, or the two do not go together; the message gives the reason.
    """
    objection = METHODS[method]().modality_objection(modality)
    if objection is not None:
        raise InputError(f"method {method!r} does not go with modality {modality.name!r}: {objection}")


def default_tuning(method: str, pretrained: bool) -> str:
    """Returns the default tuning: the method's own or preferred one, "full" with random weights.

    With random weights, methods that refuse "full" get "lora".

    Args:
        method: name in `METHODS`.
        pretrained: whether pretrained weights were given.

    Raises:
        InputError: the method is unknown.
    """
    chosen = METHODS[method]
    if chosen.own_tuning is not None:
        return chosen.own_tuning
    if pretrained and chosen.loads_weights:
        return chosen.preferred_tuning
    return "lora" if chosen().tuning_objection("full") else "full"


def _applies(method: str, tuning: str) -> bool:
    """Returns whether layers of the tuning are inserted into the model."""
    return tuning != NO_TUNING and METHODS[method].own_tuning is None
