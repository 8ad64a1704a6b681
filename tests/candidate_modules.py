"""The modules of `benchmarks/candidates`, which no installation of AIMS holds."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from aims.methods import METHODS, TUNINGS

CANDIDATES = Path(__file__).parents[1] / "benchmarks" / "candidates"
_PACKAGE = "aims_candidates"


@contextmanager
def candidate_modules() -> Iterator[SimpleNamespace]:
    """Imports the modules; what they register leaves the registries at the end."""
    with pytest.MonkeyPatch.context() as patched:
        for registry in (METHODS, TUNINGS):
            patched.setattr(registry, "_entries", dict(registry._entries))
        patched.syspath_prepend(CANDIDATES)
        names = sorted(path.stem for path in (CANDIDATES / _PACKAGE).glob("[!_]*.py"))
        yield SimpleNamespace(**{name: importlib.import_module(f"{_PACKAGE}.{name}") for name in names})
        for name in [name for name in sys.modules if name.partition(".")[0] == _PACKAGE]:
            del sys.modules[name]
