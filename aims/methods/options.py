"""The options of methods and tunings: the fields of their dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from aims.core.config import NO_TUNING
from aims.core.errors import InputError, unknown_name
from aims.core.vocabulary import Modality
from aims.methods.base import METHODS, Baseline
from aims.models.tuning import TUNINGS, Tuning

Option = int | float
#: Of options and channels. Sizes made of larger ones overflow torch's 64 bits.
LARGEST = 2**20


def known_options(method: str, tuning: str) -> dict[str, Option]:
    """The options of a pair with their defaults, the method's first.

    Raises:
        InputError: a name is unknown.
    """
    found = _defaults(METHODS[method])
    if _applies(method, tuning):
        found |= _defaults(TUNINGS[tuning])
    return found


def all_options() -> dict[str, tuple[str, ...]]:
    """Every option of every method and tuning, with the names of those that have it."""
    found: dict[str, tuple[str, ...]] = {}
    for registry in (METHODS, TUNINGS):
        for entry in registry:
            for name in _defaults(registry[entry]):
                found[name] = (*found.get(name, ()), entry)
    return found


def changed_options(method: str, tuning: str, given: Mapping[str, object]) -> dict[str, Option]:
    """Checks options and keeps those that differ from their defaults, in order of name.

    Args:
        method: name in `METHODS`.
        tuning: name in `TUNINGS`, or "none".
        given: values by name; words are read as numbers, as they come from a command line.

    Raises:
        InputError: an option is unknown to both, or its value is no number of its type or above `LARGEST`.
    """
    known = known_options(method, tuning)
    values = {name: _value(name, value, known, method, tuning) for name, value in given.items()}
    for name, value in values.items():
        require_size(name, value)
    return {name: values[name] for name in sorted(values) if values[name] != known[name]}


def require_size(name: str, value: Option) -> None:
    """Checks that a number, given as `--name`, is not above `LARGEST`.

    Raises:
        InputError: it is.
    """
    if value > LARGEST:
        raise InputError(f"--{name.replace('_', '-')} {value} is more than {LARGEST:,}: is it a slip?")


def configure(method: str, tuning: str, options: Mapping[str, object]) -> tuple[Baseline, Tuning | None]:
    """Makes a method and a tuning with their options.

    Returns:
        The method, and the tuning, or None where the method brings its own or nothing is trained.

    Raises:
        InputError: a name is unknown, an option cannot be used, or the pair makes no sense.
    """
    require_pair(method, tuning)
    values = changed_options(method, tuning, options)
    of_method = {name: value for name, value in values.items() if name in _defaults(METHODS[method])}
    chosen = METHODS[method](**of_method)
    if not _applies(method, tuning):
        return chosen, None
    return chosen, TUNINGS[tuning](**{k: v for k, v in values.items() if k not in of_method})


def require_pair(method: str, tuning: str) -> None:
    """Checks that a method and a tuning make sense together.

    Raises:
        InputError: a name is unknown, or the pair makes no sense; it gives the reason.
    """
    chosen = METHODS[method]
    if tuning != NO_TUNING:
        TUNINGS[tuning]
    objection = chosen().tuning_objection(tuning)
    if chosen.own_tuning is None and tuning == NO_TUNING:
        objection = f"it has to be tuned: choose one of {', '.join(TUNINGS)}"
    elif chosen.own_tuning is not None and tuning != chosen.own_tuning:
        objection = objection or f"it is a tuning of its own, {chosen.own_tuning!r}"
    if objection is not None:
        raise InputError(f"method {method!r} does not go with tuning {tuning!r}: {objection}")


def require_modality(method: str, modality: Modality) -> None:
    """Checks that a method and a modality, with its channels, make sense together.

    Raises:
        InputError: the method is unknown, or the pair makes no sense; it gives the reason.
    """
    objection = METHODS[method]().modality_objection(modality)
    if objection is not None:
        raise InputError(f"method {method!r} does not go with modality {modality.name!r}: {objection}")


def default_tuning(method: str, pretrained: bool) -> str:
    """The tuning when none is asked for: the method's own or preferred one, "full" with random weights.

    A method that refuses "full" has "lora".

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
    """Whether layers of the tuning are put in."""
    return tuning != NO_TUNING and METHODS[method].own_tuning is None


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return {field.name: field.default for field in dataclasses.fields(kind)}


def _value(name: str, value: object, known: Mapping[str, Option], method: str, tuning: str) -> Option:
    if name not in known:
        raise unknown_name("option", name, known, where=f"method {method!r}, tuning {tuning!r}")
    kind = type(known[name])
    try:
        if isinstance(value, str | int) and not isinstance(value, bool):
            return kind(value)
        if isinstance(value, float) and (kind is float or value.is_integer()):
            return kind(value)
    except ValueError:
        pass
    raise InputError(f"--{name.replace('_', '-')} is {value!r}, not {_WORDS[kind]}")


_WORDS = {int: "a whole number", float: "a number"}
