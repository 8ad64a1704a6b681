"""One small registry class for methods, tunings, backbones and losses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from aims.core.errors import unknown_name

T = TypeVar("T")


class Registry(Mapping[str, T]):
    """Names, as they stand on the command line, and what they mean.

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
        """Returns a decorator that files its argument under `name`; a name can be taken once."""

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
        # Not Mapping's, which waits for a KeyError.
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        return len(self._entries)
