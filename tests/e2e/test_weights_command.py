"""`aims weights` against a server on the loopback address that holds a made-up checkpoint."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pytest
import weights_server as web
from weights_server import CONTENT

from aims.methods import BACKBONES
from aims.models._transfer import _Transfer
from aims.synth.shapes import write_shapes

NAME = "sam_vit_b_01ec64.pth"


@pytest.fixture
def server(monkeypatch):
    web.reach_loopback(monkeypatch)
    with web.serve() as running:
        monkeypatch.setenv("AIMS_WEIGHTS_URL", running.url)
        web.make_up_checkpoint(monkeypatch)
        yield running


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "weights"


def test_what_is_fetched_is_said_first(aims, server, cache):
    server.script = [web.status(404)]
    code, out, err = aims("weights", "sam-vit-b")
    assert (code, out) == (1, "")
    *said, error = err.splitlines()
    for part in (NAME, "50,000 bytes", "Apache-2.0", f"{server.url}/{NAME}", str(cache / NAME)):
        assert any(part in line for line in said)
    assert error.startswith(f"error: {server.url}/{NAME}: the server answers 404 Not Found; nothing was")


def test_fetch_then_run_finds_it(aims, server, cache, tmp_path):
    code, out, err = aims("weights", "sam-vit-b")
    assert code == 0
    assert out == f"sam-vit-b  ->  {cache / NAME}\n"
    assert "checked: it is the authors' file" in err
    assert (cache / NAME).read_bytes() == CONTENT
    code, out, err = aims("weights", "sam-vit-b")
    assert (code, out) == (0, f"sam-vit-b  ->  {cache / NAME}\n")
    assert err == "it was there, and is right\n"
    assert len(server.asked) == 1


def test_json(aims, server, cache):
    expected = {
        "backbone": "sam-vit-b",
        "path": str(cache / NAME),
        "bytes": len(CONTENT),
        "sha256": hashlib.sha256(CONTENT).hexdigest(),
    }
    for fetched in (True, False):
        code, out, _ = aims("weights", "sam-vit-b", "--json")
        assert code == 0
        assert json.loads(out) == {**expected, "fetched": fetched}


def test_a_broken_download_goes_on(aims, server, cache):
    server.script = [web.cut(20_000), web.hang_up]
    code, out, err = aims("weights", "sam-vit-b")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].endswith(
        f"kept in {cache / NAME}.partial; the same command goes on from there"
    )
    assert "warning: connection lost at 20,000 bytes; going on from there" in err
    code, _, err = aims("weights", "sam-vit-b")
    assert code == 0
    assert "20,000 bytes of an earlier attempt" in err
    assert server.asked[-1] == "bytes=20000-"
    assert (cache / NAME).read_bytes() == CONTENT


def test_ctrl_c_keeps_what_was_fetched(aims, server, cache, monkeypatch):
    partial = cache / f"{NAME}.partial"
    update = _Transfer.update

    def press(transfer, count):
        # In the thread that downloads: a signal from elsewhere could come when the file is whole.
        update(transfer, count)
        if transfer.file.tell() == 2 * web.PIECE:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(_Transfer, "update", press)
        code, out, err = aims("weights", "sam-vit-b")
    assert (code, out) == (130, "")
    kept = partial.read_bytes()
    assert len(kept) >= web.PIECE
    assert CONTENT.startswith(kept)
    assert [line for line in err.splitlines() if line][-2:] == [
        f"warning: {len(kept):,} bytes are kept in {partial}; the same command goes on from there",
        "error: interrupted; what was finished is kept",
    ]
    assert aims("weights", "sam-vit-b")[0] == 0
    assert server.asked == [None, f"bytes={len(kept)}-"]


def test_a_file_of_this_machine(aims, server, cache, tmp_path):
    source = tmp_path / "usb" / "weights.bin"
    source.parent.mkdir()
    source.write_bytes(CONTENT[:-1])
    code, _, err = aims("weights", "sam-vit-b", "--from", source)
    assert code == 2
    assert err == f"error: {source}: not the authors' {NAME}: 49,999 bytes where theirs has 50,000\n"
    source.write_bytes(CONTENT)
    code, out, _ = aims("weights", "sam-vit-b", "--from", source, "--json")
    assert code == 0
    assert json.loads(out)["fetched"]
    assert (cache / NAME).read_bytes() == CONTENT
    assert server.asked == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("sam-tiny", "--from", "x.pth"), "the weights of sam-tiny come with AIMS; leave --from out"),
        (("sam-vit-q",), "unknown backbone 'sam-vit-q'; did you mean 'sam-vit-"),
        (("sam-vit-b", "--from", "nowhere.pth"), "nowhere.pth: no such file of weights"),
        (("--from", "nowhere.pth"), "--from needs a backbone"),
    ],
)
def test_wrong_input(aims, server, cache, args, words):
    code, out, err = aims("weights", *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {words}")
    assert err.count("\n") == 1
    assert not cache.exists()


def test_weights_that_come_with_aims_are_shown(aims, server, cache):
    code, out, err = aims("weights", "sam-tiny")
    assert (code, err) == (0, "sam-tiny@3 comes with AIMS; its model card lies beside it\n")
    path = Path(out.strip().partition("  ->  ")[2])
    assert (path.parent / "README.md").is_file()
    shown = json.loads(aims("weights", "sam-tiny", "--json")[1])
    assert shown["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert server.asked == []
    assert not cache.exists()


def test_another_file_in_its_place(aims, server, cache):
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(b"mine")
    code, _, err = aims("weights", "sam-vit-b")
    assert code == 2
    assert err.startswith(
        f"error: {cache / NAME}: not the authors' file: 4 bytes where theirs has 50,000; delete"
    )
    assert (cache / NAME).read_bytes() == b"mine"
    assert server.asked == []


def test_the_list(aims, server, cache, monkeypatch):
    monkeypatch.setattr("aims.cli._terminal.out._width", 100)
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT)
    (cache / "sam_vit_l_0b3195.pth.partial").write_bytes(bytes(1000))
    (cache / "sam_vit_h_4b8939.pth").write_bytes(b"mine")
    code, out, _ = aims("weights")
    assert code == 0
    with_checkpoint = [name for name in BACKBONES if BACKBONES[name].checkpoint is not None]
    rows = {
        words[0]: line for line in out.splitlines() if (words := line.split()) and words[0] in with_checkpoint
    }
    assert sorted(rows) == with_checkpoint
    assert with_checkpoint == ["efficient-sam-ti", "mobile-sam", "sam-vit-b", "sam-vit-h", "sam-vit-l"]
    assert "yes" in rows["sam-vit-b"]
    assert "1,250 MB" in rows["sam-vit-l"]
    assert "0% of it" in rows["sam-vit-l"]
    assert "wrong: 4 bytes" in rows["sam-vit-h"]
    assert all("Apache-2.0" in row for row in rows.values())
    assert "Only sizes were compared" in out
    assert any("sam-tiny" in line and "with AIMS" in line for line in out.splitlines())
    listed = json.loads(aims("weights", "--json")[1])
    assert [row["backbone"] for row in listed["packaged"]] == ["sam-tiny"] * 5
    there = {row["backbone"]: row["in_cache_by_size"] for row in listed["weights"]}
    assert there == {name: name == "sam-vit-b" for name in with_checkpoint}
    assert server.asked == []


def test_run_names_the_command(aims, cache, tmp_path):
    toml = write_shapes(tmp_path / "raw", scenes=9, size=(48, 64), seed=0)
    assert aims("convert", "folder", toml, "--out", tmp_path / "data" / "shapes")[0] == 0
    where = ("--data", tmp_path / "data", "--runs", tmp_path / "runs")
    code, _, err = aims("run", "--method", "simcmf", "--modality", "thermal", *where)
    assert code == 2
    assert "fetch it with `aims weights sam-vit-b`" in err
    assert not (tmp_path / "runs").exists()


def test_every_name_is_whole_at_60_columns(aims, monkeypatch):
    monkeypatch.setattr("aims.cli._terminal.out._width", 60)
    code, out, _ = aims("weights")
    assert code == 0
    names = ("sam-tiny-any@1", "sam_vit_h_4b8939.pth", "efficient-sam-ti", "efficient_sam_vitt.pt")
    for word in (*names, "2,565", "Apache-2.0"):
        assert word in out
    assert "…" not in out
