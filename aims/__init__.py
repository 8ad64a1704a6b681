"""AIMS: any image modality segmentation.

Turns recordings of any imaging sensor into one instance-level dataset format, fine-tunes SAM on them
with the published baselines, and measures all of them with one harness.

`aims.convert`, `aims.open`, `aims.run`, `aims.evaluate`, `aims.report` and `aims.load` are the program
without a terminal (`aims.api`).
"""

from typing import TYPE_CHECKING, Any

from aims.version import __version__

if TYPE_CHECKING:
    from aims.api import convert, evaluate, load, open, report, run

__all__ = ["__version__", "convert", "evaluate", "load", "open", "report", "run"]


def __getattr__(name: str) -> Any:
    # Importing AIMS costs nothing until something is used.
    if name in __all__:
        import aims.api

        return getattr(aims.api, name)
    raise AttributeError(f"module 'aims' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
