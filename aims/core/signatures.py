"""Signatures by SSH keys, made and verified by `ssh-keygen -Y`, which comes with OpenSSH."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import gettempdir

from aims.core.errors import InputError
from aims.core.files import regular_file, temporary_folder
from aims.core.texts import one_line

#: What the signatures are for; one that was made for anything else does not count.
NAMESPACE = "aims-submission"

_PROGRAM = "ssh-keygen"


def sign(data: bytes, key: Path) -> bytes:
    """Signs data.

    Args:
        data: what is signed.
        key: file of a private SSH key, or of a public one whose private key an agent has. ssh-keygen asks for
            a passphrase in the terminal.

    Raises:
        InputError: there is no such key, or ssh-keygen is not installed or cannot sign with it.
    """
    if not regular_file(key).is_file():
        raise InputError(f"{key}: no such file; give an SSH key, as `ssh-keygen -t ed25519` makes them")
    done = _run("sign", "-f", str(key.absolute()), data=data)
    if done.returncode:
        raise InputError(f"{key}: cannot be signed with ({_reason(done)})")
    return done.stdout


def is_available() -> bool:
    """Returns whether ssh-keygen is installed."""
    return shutil.which(_PROGRAM) is not None


def is_intact(data: bytes, signature: bytes) -> bool:
    """Returns whether a signature is one of this data, by whatever key."""
    with _file(signature) as path:
        return not _run("check-novalidate", "-s", path, data=data).returncode


def find_signer(data: bytes, signature: bytes, allowed: Path) -> str | None:
    """Returns whom a file of allowed signers names as the signer of data; None if it names nobody.

    Args:
        data: what was signed.
        signature: the signature.
        allowed: file of allowed signers (`man ssh-keygen`): a name and a public key a line.

    Raises:
        InputError: there is no such file, or ssh-keygen is not installed.
    """
    if not regular_file(allowed).is_file():
        raise InputError(f"{allowed}: no such file; give names and public keys, as in `man ssh-keygen`")
    signers = str(allowed.absolute())
    with _file(signature) as path:
        # Those with the key, whether or not they may sign this, and now.
        named = _run("find-principals", "-s", path, "-f", signers).stdout.decode(errors="replace")
        for name in named.splitlines():
            if not _run("verify", "-s", path, "-f", signers, "-I", name, data=data).returncode:
                return name
    return None


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Yields a temporary file with a signature: ssh-keygen reads none from a pipe."""
    with temporary_folder(Path(gettempdir()), "aims-signature") as folder:
        path = folder / "signature"
        path.write_bytes(content)
        yield str(path)


def _run(action: str, *options: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Calls `ssh-keygen -Y`. Raises InputError if it is not installed."""
    command = [_PROGRAM, "-Y", action, "-n", NAMESPACE, *options]
    try:
        return subprocess.run(command, input=data, capture_output=True, check=False)
    except FileNotFoundError:
        raise InputError(
            f"{_PROGRAM}: not installed, and it signs and verifies signatures; install OpenSSH 8.2 or newer"
        ) from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return one_line(lines[-1]) if lines else f"exit code {done.returncode}"
