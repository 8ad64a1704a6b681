"""The pretraining stage of `aims.benchmarks.gpu`; packs its state into files of limited size.

    python -m aims.benchmarks.gpu_pretrain --folder FOLDER --seconds S --device cuda --hours H

Runs `aims pretrain` with a time limit; it saves its state and writes weights and card before the end. The
same command resumes from that state, also on another GPU.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

_NAME = "pretrain.tar"
# Prefix and suffix of the files of a training state; older folders hold a single file.
_STATE, _TENSORS = "checkpoint", ".safetensors"
#: Maximum bytes of one part, and of all parts together.
PART_BYTES, ALL_BYTES = 15_000_000, 60_000_000
# Prefixes of Adam's moments, for which the 8 bits of precision of bfloat16 suffice to resume.
_HALVED = ("optimizer.exp_avg.", "optimizer.exp_avg_sq.")


def pack(folder: Path, out: Path, part_bytes: int = PART_BYTES, all_bytes: int = ALL_BYTES) -> str:
    """Packs a pretraining folder into a tar file that is split into parts of limited size.

    Adam's moments are stored in bfloat16, so a resumed training is not bit-identical; weights are exact.

    Args:
        folder: output folder of `aims pretrain`.
        out: where pretrain.tar.0, .1, ... are written; older parts are replaced.
        part_bytes: maximum size of each part.
        all_bytes: maximum size of all parts; files are left out to stay below it, large ones first and
            those of the training state last.

    Returns:
        One line that says what was saved and what was left out.
    """
    contents: dict[str, bytes] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and not path.name.startswith("."):
            halved = _is_state(path.name) and path.name.endswith(_TENSORS)
            contents[path.name] = _converted(path, torch.bfloat16) if halved else path.read_bytes()
    if not any(map(_is_state, contents)):
        return "pretraining: nothing was saved"
    left_out = []
    while sum(map(len, contents.values())) > all_bytes - 10_240 * len(contents):
        largest = max(contents, key=lambda name: (not _is_state(name), len(contents[name])))
        left_out.append(largest)
        del contents[largest]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    for old in out.glob(f"{_NAME}.*"):
        old.unlink()
    packed = buffer.getvalue()
    for number, first in enumerate(range(0, len(packed), part_bytes)):
        (out / f"{_NAME}.{number}").write_bytes(packed[first : first + part_bytes])
    missing = f"; left out for their size: {', '.join(left_out)}" if left_out else ""
    return f"pretraining: saved in {_NAME}.0, .1, ...: {', '.join(contents)}{missing}"


def unpack(source: Path, folder: Path) -> str:
    """Restores the files that `pack` has written to `source`.

    Args:
        source: folder with pretrain.tar.0, .1, ...
        folder: folder to restore to; made if there are parts.

    Returns:
        One line that says whether the pretraining starts anew or resumes.
    """
    parts = sorted(source.glob(f"{_NAME}.*"), key=lambda path: int(path.suffix[1:]))
    if not parts:
        return "pretraining: begins afresh"
    packed = io.BytesIO(b"".join(part.read_bytes() for part in parts))
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=packed) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is not None:
                # Only the last part of the name counts, so that no member can be written outside the folder.
                (folder / Path(member.name).name).write_bytes(content.read())
    for path in folder.glob(f"{_STATE}*{_TENSORS}"):
        path.write_bytes(_converted(path, torch.float32))
    return f"pretraining: goes on from {source}"


def _is_state(name: str) -> bool:
    return name.startswith(_STATE)


def _converted(path: Path, dtype: torch.dtype) -> bytes:
    """Returns the bytes of a safetensors file with Adam's moments cast to another dtype."""
    with safe_open(path, framework="pt") as file:
        tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    for name in tensors:
        if name.startswith(_HALVED):
            tensors[name] = tensors[name].to(dtype)
    return save(tensors, metadata)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--hours", type=float, required=True)
    options = parser.parse_args(arguments)
    cpu = options.device == "cpu"
    command = [sys.executable, "-m", "aims", "pretrain", "--out", str(options.folder)]
    command += ["--hours", str(options.hours), "--device", options.device]
    command += ["--batch-size", "8", "--held-out", "4"] if cpu else ["--batch-size", "256"]
    command += [] if cpu else ["--precision", "bf16", "--held-out", "40", "--score-every", "200000"]
    # Leaves time to save and to evaluate the weights before the limit.
    finishing = min(45.0, 0.4 * options.seconds)
    command += ["--seconds", f"{max(1.0, options.seconds - finishing):.1f}"]
    child = subprocess.Popen(command)
    try:
        return child.wait(timeout=max(1.0, options.seconds))
    except subprocess.TimeoutExpired:
        child.terminate()
        code = child.wait()
        # Exit code 130: it was interrupted and has saved its state.
        return 0 if code == 130 else code


if __name__ == "__main__":
    sys.exit(main())
