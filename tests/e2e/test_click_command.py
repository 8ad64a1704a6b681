"""`aims click`: serves until Ctrl-C, says what was saved, and refuses what it cannot show."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import aims
from aims.cli import main
from aims.core.files import write_text
from aims.labeling.folder import LabelFolder
from aims.prediction.prompt_files import Prompt


def click(*words):
    with pytest.raises(SystemExit) as ended:
        main(["click", *map(str, words)])
    return ended.value.code


def test_it_serves_until_ctrl_c(thermal_run, tmp_path):
    folder, run, _ = thermal_run
    model = aims.load(run, device="cpu")
    labels = LabelFolder(tmp_path / "labels", model.rules.streams)
    picture = aims.open(folder / "set")[0]
    labels.add("a", picture.streams, picture.instances > 0, "shape", Prompt(points=[(1, 1)]))
    words = ["click", run, folder / "raw" / "thermal", "--no-browser", "--out", labels.path]
    process = subprocess.Popen(
        [sys.executable, "-m", "aims", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "True"},
    )
    try:
        address = process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=\S{20,}", address)
        opener = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(), urllib.request.ProxyHandler({})
        )
        with opener.open(address, timeout=60) as answer:
            assert "AIMS click" in answer.read().decode()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err
    assert f"1 object in 1 picture  ->  {labels.path}" in out
    command = re.search(r"next: aims (.*)", out)[1].split()
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "set")])
    assert ended.value.code == 0
    assert len(aims.open(tmp_path / "set")) == 1


REFUSED = {
    "no such run": (["nowhere", "{raw}"], "nowhere: no such folder"),
    "no picture": (["{run}", "{empty}"], "holds no picture"),
    "a variable of the shell that is not set": (["{run}", ""], "path is empty"),
    "nothing fits": (["{run}", "{raw}/*.gif"], "no file fits"),
    "a class that is no name": (["{run}", "{raw}", "--class", "a/b"], "class 'a/b'"),
    "another model": (["{run}", "{raw}", "--against", "elsewhere"], "elsewhere: no such folder"),
    "labels elsewhere": (["{run}", "{raw}", "--out", "{run}"], "holds something else"),
    "no dataset": (["{run}", "--data", "{raw}"], "no AIMS dataset here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(thermal_run, case, capsys, tmp_path):
    folder, run, _ = thermal_run
    words, message = REFUSED[case]
    places = {"run": run, "raw": folder / "raw" / "thermal", "empty": tmp_path}
    assert click(*(word.format(**places) for word in words)) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_without_its_extra_it_names_it(thermal_run, tmp_path):
    folder, run, _ = thermal_run
    # Python itself takes an entry of None for a module that cannot be imported.
    write_text(
        tmp_path / "without.py",
        "import sys\nsys.modules['gradio'] = None\nfrom aims.cli import main\nmain(sys.argv[1:])\n",
    )
    done = subprocess.run(
        [sys.executable, tmp_path / "without.py", "click", run, folder / "raw" / "thermal"],
        capture_output=True,
        text=True,
        cwd=Path(tmp_path),
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.strip() == "error: the page needs gradio; pip install 'aims-bench[click]'"
