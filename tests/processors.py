"""Child processes in which the vector libraries of torch and NumPy see another processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

#: MKL asks these two whether the processor is Intel's before it chooses the kernels of torch on a CPU.
_CHECKS = "int mkl_serv_intel_cpu_true(void){{return {0};}} int mkl_serv_intel_cpu(void){{return {0};}}\n"


def mkl_preload(folder: Path, answer: int) -> Path | None:
    """A shared library for `LD_PRELOAD` that answers MKL's check of the processor.

    Args:
        folder: where it is compiled.
        answer: 1 for the kernels of an Intel processor, 0 for those of any other.

    Returns:
        The library, which holds for a process started with it; None where no C compiler is found.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    source, library = folder / f"mkl_{answer}.c", folder / f"mkl_{answer}.so"
    source.write_text(_CHECKS.format(answer), "utf-8")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return library
