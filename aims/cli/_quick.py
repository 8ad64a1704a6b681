"""A quick start of torch, for a command that only counts."""

from __future__ import annotations

import atexit
import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """What torch asks of its compiler where nothing is compiled; anything else brings the real one."""

    @staticmethod
    def disable(function: Any, *args: object, **kwargs: object) -> Any:
        """Shields a function from the compiler: there is none, so it stays as it is."""
        return function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(_COMPILER) is self:
            del sys.modules[_COMPILER]
        return getattr(importlib.import_module(_COMPILER), name)


@contextmanager
def quick_start() -> Iterator[None]:
    """Saves half of the time that importing torch and counting once on its meta device take.

    - torch's counter and its shape functions import torch's compiler, most of a second of work, only to be
      shielded from it. A stand-in does the shielding, unless the compiler is loaded already. Nothing may be
      compiled with `torch.compile` in the same process afterwards: those functions are shielded no more.
    - Importing makes hundreds of thousands of objects that all stay. The garbage collector would look
      through them again and again, and once more when the process ends.
    """
    collecting = gc.isenabled()
    gc.disable()
    import torch  # noqa: F401  (whole before the stand-in: its own modules look for the compiler)

    stand_in = _StandIn(_COMPILER)
    if _COMPILER not in sys.modules:
        sys.modules[_COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_COMPILER) is stand_in:
            del sys.modules[_COMPILER]
        if collecting:
            gc.enable()
        atexit.register(gc.freeze)
