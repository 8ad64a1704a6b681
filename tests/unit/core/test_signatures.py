"""Signatures by ssh-keygen: of these data, for this purpose, by somebody who is allowed to."""

from __future__ import annotations

import subprocess

import pytest

from aims.core.errors import InputError
from aims.core.signatures import NAMESPACE, find_signer, is_intact, sign

DATA = b'{"run": "a-run"}\n'


def new_key(path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", path], check=True)
    return path


def public(key):
    return " ".join(key.with_name(f"{key.name}.pub").read_text().split()[:2])


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    return new_key(folder / "alice"), new_key(folder / "mallory")


@pytest.fixture
def allow(tmp_path):
    """Writes a file of allowed signers."""

    def write(*lines):
        path = tmp_path / "allowed"
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


def test_who_signed(keys, allow):
    alice, mallory = keys
    signature = sign(DATA, alice)
    assert is_intact(DATA, signature)
    assert find_signer(DATA, signature, allow(f"alice@example.org {public(alice)}")) == "alice@example.org"
    both = allow(f"mallory {public(mallory)}", f'alice namespaces="{NAMESPACE}" {public(alice)}')
    assert find_signer(DATA, signature, both) == "alice"
    assert sign(DATA, alice) == signature


@pytest.mark.parametrize(
    "line",
    ["", "mallory {mallory}", 'alice namespaces="git" {alice}', 'alice valid-before="20200101" {alice}'],
)
def test_who_may_not_sign(keys, allow, line):
    alice, mallory = keys
    allowed = allow(line.format(alice=public(alice), mallory=public(mallory)))
    assert find_signer(DATA, sign(DATA, alice), allowed) is None


def test_other_data_and_other_signatures(keys, allow):
    alice, _ = keys
    signature, allowed = sign(DATA, alice), allow(f"alice {public(alice)}")
    for data, changed in (
        (DATA + b" ", signature),
        (DATA, b""),
        (DATA, b"no signature"),
        (DATA, signature.replace(b"U1NIU0lH", b"U1NIU0lI")),
    ):
        assert not is_intact(data, changed)
        assert find_signer(data, changed, allowed) is None


def test_a_signature_for_something_else(keys, allow):
    alice, _ = keys
    command = ["ssh-keygen", "-Y", "sign", "-n", "git", "-f", alice]
    signature = subprocess.run(command, input=DATA, capture_output=True, check=True).stdout
    assert not is_intact(DATA, signature)
    assert find_signer(DATA, signature, allow(f"alice {public(alice)}")) is None


def test_what_cannot_be_signed_with(tmp_path, keys, allow):
    (tmp_path / "note").write_text("a note")
    for path, reason in ((tmp_path / "none", "no such file"), (tmp_path / "note", "cannot be signed with")):
        with pytest.raises(InputError, match=reason):
            sign(DATA, path)
    with pytest.raises(InputError, match="no such file; give names and public keys"):
        find_signer(DATA, sign(DATA, keys[0]), tmp_path / "none")


def test_without_ssh_keygen_one_line_says_so(keys, allow, monkeypatch, tmp_path):
    alice, _ = keys
    signature, allowed = sign(DATA, alice), allow(f"alice {public(alice)}")
    monkeypatch.setenv("PATH", str(tmp_path))
    for call in (lambda: sign(DATA, alice), lambda: find_signer(DATA, signature, allowed)):
        with pytest.raises(InputError, match="ssh-keygen: not installed"):
            call()
