"""Runs the tutorials without Jupyter; `python tests/notebooks.py [NOTEBOOK...]` renews their outputs."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[1]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.ipynb"))
_SHELL = "%%bash\n"

Output = dict[str, Any]


def read(notebook: Path) -> Any:
    """Returns a notebook as JSON holds it."""
    return json.loads(notebook.read_text("utf-8"))


def run(notebook: Any, folder: Path) -> list[list[Output]]:
    """Runs the code cells of a notebook, in a folder of their own.

    Cells that begin with `%%bash` are given to bash, which finds the command `aims`.

    Returns:
        The outputs of each code cell: what it printed, the value of a last expression, its figures as PNG.
    """
    space: dict[str, Any] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    with contextlib.chdir(folder), mpl.rc_context({"figure.dpi": 80}):
        return [_run_cell("".join(cell["source"]), space, number) for number, cell in enumerate(cells, 1)]


def printed(outputs: list[Output]) -> str:
    """Returns the text of a cell's outputs."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", []) for output in outputs]
    return "\n".join("".join(text) for text in texts)


def _run_cell(source: str, space: dict[str, Any], number: int) -> list[Output]:
    if source.startswith(_SHELL):
        return _stream(_run_shell(source.removeprefix(_SHELL)))
    body = ast.parse(source).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    value = None
    with contextlib.redirect_stdout(io.StringIO()) as text:
        exec(compile(ast.Module(body, []), f"cell {number}", "exec"), space)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"cell {number}", "eval"), space)
    outputs = _stream(text.getvalue())
    # As in Jupyter, a semicolon at the end hides the value.
    if value is not None and not source.rstrip().endswith(";"):
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append(
            {"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}
        )
    return outputs + [_picture(plt.figure(figure)) for figure in plt.get_fignums()]


def _run_shell(script: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", script],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
    )
    if done.returncode:
        raise RuntimeError(f"{script}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def _stream(text: str) -> list[Output]:
    lines = text.splitlines(keepends=True)
    return [{"output_type": "stream", "name": "stdout", "text": lines}] if lines else []


def _picture(figure: mpl.figure.Figure) -> Output:
    file = io.BytesIO()
    figure.savefig(file, format="png", bbox_inches="tight")
    plt.close(figure)
    data = {"image/png": base64.b64encode(file.getvalue()).decode(), "text/plain": ["<Figure>"]}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def _renew(path: Path) -> None:
    notebook = read(path)
    with tempfile.TemporaryDirectory() as folder:
        outputs = run(notebook, Path(folder))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, (cell, found) in enumerate(zip(cells, outputs, strict=True), 1):
        cell.update(execution_count=number, outputs=found)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    mpl.use("agg")
    for argument in sys.argv[1:] or TUTORIALS:
        _renew(Path(argument))
        print(argument)
