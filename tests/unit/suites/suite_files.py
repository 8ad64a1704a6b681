"""What the tests of suites share: a short suite to change, and the registries' words."""

from __future__ import annotations

from pathlib import Path

from aims.core.errors import InputError
from aims.suites.grid import Fields
from aims.suites.suite import Suite, read_suite


def number(value: object) -> object:
    """As an option of a method that is a number reads its value."""
    if isinstance(value, int | float):
        return value
    raise InputError(f"--rank is {value!r}, not a number")


FIELDS = Fields(
    names={
        "method": ["disc", "scratch", "simcmf"],
        "tuning": ["full", "lora", "none"],
        "backbone": ["sam-toy"],
        "loss": ["dice-ce"],
        "protocol": ["paper", "strict"],
        "precision": ["float32", "bf16"],
    },
    options=dict.fromkeys(("kernel", "patch-size", "rank"), number),
)

HEAD = 'title = "T"\nquestion = "Q?"\nfound = ""\ncost = "none"\ncommand = "aims sweep t.toml"\n'
GRID = '[[grid]]\nmethod = "simcmf"\nmodality = "signal"\n'


def read(folder: Path, text: str, head: str = HEAD) -> Suite:
    """Writes a suite below its head, and reads it."""
    path = folder / "t.toml"
    path.write_text(head + text, encoding="utf-8")
    return read_suite(path, FIELDS)
