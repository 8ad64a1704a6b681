"""Made-up scenes and derived streams use no function whose last bits depend on the processor."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FOLDERS = ("aims/synth", "aims/sensors")

#: Why -> functions of torch and methods of tensors (in place too) that IEEE 754 does not determine.
TORCH = {
    "MKL rounds it by the processor's vendor": "sqrt rsqrt acos asin atan cos sin tan tanh erf erfc erfinv "
    "exp log log2 log10 lgamma",
    "an approximation for each vector unit": "pow float_power exp2 expm1 log1p logaddexp logaddexp2 "
    "logsumexp atan2 arctan2 arccos arcsin arctan hypot sinh cosh asinh acosh atanh sigmoid logit softmax "
    "log_softmax softplus gelu silu xlogy digamma sinc ldexp polar angle",
    "one rounding with FMA, two without": "addcmul addcdiv lerp cross",
    "sums in the order of the vector unit or of BLAS": "sum nansum mean nanmean std var std_mean var_mean "
    "prod norm normalize dist cdist pdist cumsum cumprod logcumsumexp trace dot vdot inner outer mv mm bmm "
    "matmul addmm addmv addr addbmm baddbmm einsum tensordot linear conv1d conv2d conv3d conv_transpose2d "
    "avg_pool2d adaptive_avg_pool2d interpolate upsample grid_sample scatter_add index_add histc layer_norm "
    "batch_norm group_norm cosine_similarity linalg fft",
    "random numbers of torch's own": "rand randn normal uniform exponential log_normal cauchy",
}
#: The same of NumPy.
NUMPY = {
    "an approximation for each vector unit": "sin cos tan arcsin arccos arctan arctan2 hypot exp exp2 expm1 "
    "log log2 log10 log1p power float_power cbrt sinh cosh tanh",
    "sums in the order of BLAS": "dot vdot inner matmul einsum tensordot linalg",
}
#: File and function -> why the same bits come out.
ALLOWED = {
    ("aims/synth/exact.py", "sqrt"): "on a GPU alone, where it is rounded as IEEE 754 says",
    ("aims/synth/exact.py", "**"): "of Python's numbers",
    ("aims/synth/sensors/_camera.py", "pow"): "a table of 8 bits, far from ties: test_sense_rgb.py",
    ("aims/synth/world/render.py", "cumsum"): "of whole numbers",
    ("aims/synth/world/_tables.py", "sum"): "of whole numbers",
    ("aims/synth/world/_tables.py", "cumsum"): "of whole numbers",
    ("aims/synth/look.py", "*"): "a page for the eye",
    ("aims/synth/shapes.py", "sin"): "rounded to whole numbers",
    ("aims/synth/shapes.py", "cos"): "rounded to whole numbers",
    ("aims/sensors/hha.py", "*"): "rounded to whole numbers; see `encode_hha`",
    ("aims/sensors/_hha_gravity.py", "*"): "rounded to whole numbers; see `encode_hha`",
}


def listed(table: dict[str, str]) -> dict[str, str]:
    return {name: why for why, names in table.items() for name in names.split()}


def inexact(source: str) -> dict[str, str]:
    """Name -> why, of what a module uses of the tables.

    The methods of torch's tensors are looked for in modules that import torch; NumPy's arrays have none of
    them that count more than whole numbers here.
    """
    tree = ast.parse(source)
    modules = [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    modules += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    torch = any(name.split(".")[0] == "torch" for name in modules)
    of_torch, of_numpy = listed(TORCH), listed(NUMPY)
    found = {}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="np"), attr=name):
                if name in of_numpy:
                    found[name] = of_numpy[name]
            case ast.Attribute(value=ast.Name(id="math")):
                pass  # numbers of the scene's making, rounded to float32 in `tabulate`
            case ast.Attribute(attr=name) if torch and name.rstrip("_") in of_torch:
                found[name.rstrip("_")] = of_torch[name.rstrip("_")]
            case ast.ImportFrom(module="torch" | "torch.nn.functional", names=names):
                found |= {each.name: of_torch[each.name] for each in names if each.name in of_torch}
            case ast.keyword(arg="alpha"):
                found["alpha"] = "one rounding with FMA, two without"
            case ast.BinOp(op=ast.MatMult()) | ast.AugAssign(op=ast.MatMult()):
                found["@"] = "sums in the order of BLAS"
            case (
                ast.BinOp(left=ast.Constant(), op=ast.Pow()) | ast.BinOp(op=ast.Pow(), right=ast.Constant(2))
            ):
                pass  # a number, a square
            case ast.BinOp(op=ast.Pow()) | ast.AugAssign(op=ast.Pow()) if torch:
                found["**"] = "an approximation for each vector unit"
    return found


@pytest.mark.parametrize(
    "path",
    [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))],
    ids=lambda p: p.stem,
)
def test_none_is_used(path):
    name = path.relative_to(ROOT).as_posix()
    found = inexact((ROOT / name).read_text("utf-8"))
    wrong = {key: why for key, why in found.items() if not {(name, key), (name, "*")} & ALLOWED.keys()}
    assert not wrong, f"{name}: use aims.synth.exact or aims.sensors.exact"
    stale = [key for file, key in ALLOWED if file == name and key not in found and not (key == "*" and found)]
    assert not stale


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("x = y.sqrt()", "sqrt"),
        ("x.clamp_(0).sqrt_()", "sqrt"),
        ("x = torch.sqrt(y)", "sqrt"),
        ("half.pow_(exponent)", "pow"),
        ("half = half ** exponent", "**"),
        ("half **= 2.5", "**"),
        ("x.addcmul_(y, z, value=-1)", "addcmul"),
        ("torch.add(x, y, alpha=-1, out=z)", "alpha"),
        ("x = y.clamp(0, 1).acos()", "acos"),
        ("x = y.mean(1)", "mean"),
        ("x = y @ z", "@"),
        ("x = torch.nn.functional.interpolate(y)", "interpolate"),
        ("x = np.arctan2(y, z)", "arctan2"),
        ("from torch.nn.functional import conv2d", "conv2d"),
    ],
)
def test_each_is_found(line, name):
    assert set(inexact(f"import torch\n{line}\n")) == {name}


def test_what_is_exact_is_not_found():
    lines = [
        "import torch",
        "x = np.sqrt(y) + math.sqrt(2)",
        "x = 2.0**-24 * y**2 + y.square() / z",
        "y.floor_()",
    ]
    assert not inexact("\n".join(lines))
