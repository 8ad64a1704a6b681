"""The registry class of methods, tunings, backbones and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from aims.core.errors import unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """A mapping of names, as used on the command line, to registered objects; it iterates in sorted order.

    Looking up an unknown name raises an `InputError` with the nearest known name.

    Example:
        >>> losses = Registry[str]("loss")
        >>> _ = losses.register("dice")("the dice loss")
        >>> losses["dice"]
        'the dice loss'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Returns a decorator that registers its argument; raises ValueError if `name` is taken."""

        def add(entry: T) -> T:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered already")
            self._entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> T:
        try:
            return self._entries[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._entries) from None

    def __contains__(self, name: object) -> bool:
        # Mapping.__contains__ expects a KeyError, but look-ups here raise an InputError.
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
