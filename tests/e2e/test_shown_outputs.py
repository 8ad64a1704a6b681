"""What README and docs/start.md show is what their commands print, scores included."""

from __future__ import annotations

import re
import shlex
from glob import glob

import pytest
from documentation import START, commands, require_same, sessions

#: Command -> all that the pages show of its output.
SHOWN = {
    command: {printed for line, printed in sessions(START) if line == command and printed.strip()}
    for command in commands(START)
}


def test_the_pages_agree():
    assert {command: texts for command, texts in SHOWN.items() if len(texts) > 1} == {}


@pytest.mark.thorough
def test_the_job_prints_what_is_shown(aims, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    shown = [command for command, texts in SHOWN.items() if texts]
    assert len(shown) == 11
    for command in shown:
        _, *words = shlex.split(command)
        code, out, err = aims(*(path for word in words for path in sorted(glob(word)) or [word]))
        assert code == 0, f"{command}\n{err}"
        (text,) = SHOWN[command]
        if command == "aims weights":
            # Below the table it says where the cache is.
            out = out.partition("cache: ")[0]
        require_same(err + out if command.startswith("aims run") else out, text)


@pytest.mark.slow
def test_the_demo_prints_what_is_shown(aims, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    (shown,) = re.findall(r"```text\n(Demo: .*?)```", START, re.DOTALL)
    code, out, err = aims("demo", "--out", "demo")
    assert code == 0, err
    runs, _, tables = shown.partition("12 runs: 12 finished\n")
    # In the order in which they end, which no two machines share, and without the time that is left.
    scored = re.compile(r"^ ?\d+/12  (.*, seed 0): (mIoU [\d.]+ %)", re.MULTILINE)
    done = dict(scored.findall(err + out))
    assert done.keys() == dict(scored.findall(runs)).keys()
    for run, score in scored.findall(runs):
        require_same(done[run], score)
    expected = tables[tables.index("made-up-nyuv2: protocol") :].splitlines()
    written = out[out.index("made-up-nyuv2: protocol") :].splitlines()
    # What follows is advice.
    require_same("\n".join(written[: len(expected)]), "\n".join(expected))
