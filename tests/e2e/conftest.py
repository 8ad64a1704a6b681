from __future__ import annotations

import pytest

from aims.cli import main


@pytest.fixture
def aims(capsys):
    """Runs a command line; returns exit code, stdout, stderr."""

    def call(*args):
        with pytest.raises(SystemExit) as stop:
            main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call
