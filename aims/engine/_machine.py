"""What a run record says of the machine and of the code."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch


def hardware(device: torch.device) -> dict[str, Any]:
    """What a run was made on."""
    name = _processor()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    return {
        "device": device.type,
        "name": name,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    """The processor's own name where Linux tells it; Python knows the architecture alone there."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, name = line.partition(":")
            if key.strip() == "model name":
                return name.strip()
    return platform.processor() or platform.machine()


def peak_memory(device: torch.device) -> int:
    """The most memory in bytes that this process has held, on the GPU where there is one."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    # Linux counts in kilobytes, macOS in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def commit() -> str | None:
    """The commit of the code, with "+" if it was changed; None outside a checkout."""
    folder = Path(__file__).parent

    def git(*args: str) -> str:
        return subprocess.run(
            ("git", "-C", str(folder), *args), capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        # A checkout of something else, with AIMS installed below it, is not the code's commit.
        if Path(git("rev-parse", "--show-toplevel")) != folder.parent.parent:
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
