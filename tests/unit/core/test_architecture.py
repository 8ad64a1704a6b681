"""The arrows of the design: who may import whom, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

#: Package -> the packages of ours that it may import, beside itself and core.
ARROWS = {
    "core": set(),
    # data and engine read derived streams and scale them: one arrow more than the design's.
    "data": {"sensors"},
    "sensors": set(),
    "models": set(),
    "methods": {"models"},
    "engine": {"methods", "models", "data", "sensors"},
    # What the engine imports, pretraining may, too; it draws its pictures from synth.
    "pretrain": {"engine", "methods", "models", "data", "synth"},
    "suites": {"engine"},
    # The page shows what the runs' masks lie on.
    "report": {"data"},
    "synth": {"sensors", "data"},
    # `aims info` and `aims weights` answer from methods and models alone.
    "cli": {"suites", "report", "pretrain", "engine", "synth", "data", "methods", "models"},
    "converters": {"data", "sensors"},
}
# synth renders its scenes in torch, so that a GPU can make them; its raw layouts stay NumPy.
TORCHLESS = {"core", "data", "sensors", "report", "converters"}


def files():
    for package in ARROWS:
        folder = ROOT / package if package == "converters" else ROOT / "aims" / package
        for path in folder.rglob("*.py"):
            yield pytest.param(package, path, id=str(path.relative_to(ROOT)))


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize(("package", "path"), list(files()))
def test_arrows(package, path):
    allowed = ARROWS[package] | {package, "core", "version"}
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "aims" and len(parts) > 1:
            assert parts[1] in allowed, f"{path} imports {name}"
        if package in TORCHLESS:
            assert parts[0] != "torch", f"{path} imports torch"
        assert parts[0] not in {"torchvision", "converters", "benchmarks", "leaderboards"}


def test_every_package_has_its_arrows():
    there = {path.parent.name for path in (ROOT / "aims").glob("*/__init__.py")}
    assert there <= set(ARROWS)
    assert "engine" in there
