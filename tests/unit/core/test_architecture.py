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
    "reading": {"data"},
    "models": set(),
    "methods": {"models"},
    "engine": {"methods", "models", "data", "sensors"},
    # What the engine imports, pretraining may, too; it draws its pictures from synth.
    "pretrain": {"engine", "methods", "models", "data", "synth"},
    "suites": {"engine"},
    # The page shows what the runs' masks lie on.
    "reports": {"data"},
    "synth": {"sensors", "data"},
    # The commands without a terminal.
    "prediction": {"engine", "methods", "models", "data", "sensors", "reading"},
    "labeling": {"prediction", "data", "reading"},
    "api": {"prediction", "reports", "engine", "methods", "data"},
    # `aims info` and `aims weights` answer from methods and models alone.
    "cli": {
        "api",
        "labeling",
        "prediction",
        "suites",
        "reports",
        "pretrain",
        "engine",
        "synth",
        "data",
        "methods",
        "models",
    },
    "converters": {"data", "sensors", "reading"},
}
# synth renders its scenes in torch, so that a GPU can make them; its raw layouts stay NumPy.
TORCHLESS = {"core", "data", "sensors", "reading", "reports", "converters"}


def files(package: str) -> list[Path]:
    folder = ROOT / package if package == "converters" else ROOT / "aims" / package
    found = sorted(folder.rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("package", ARROWS)
def test_arrows(package):
    allowed = ARROWS[package] | {package, "core", "version"}
    wrong = []
    for path, name in [(file, name) for file in files(package) for name in sorted(imports(file))]:
        top, *rest = name.split(".")
        banned = {"torchvision", "converters", "benchmarks", "leaderboards"}
        banned |= {"torch"} if package in TORCHLESS else set()
        if top in banned or (top == "aims" and rest and rest[0] not in allowed):
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_every_package_has_its_arrows():
    there = {path.parent.name for path in (ROOT / "aims").glob("*/__init__.py")}
    assert there <= set(ARROWS)
    assert "engine" in there
