"""Runs of these tests draw no contact sheet: it takes a quarter of their time (see test_contact_sheet.py)."""

from __future__ import annotations

import pytest

from aims.engine import record


@pytest.fixture(scope="module", autouse=True)
def _no_drawing():
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(record, "save_contact_sheet", lambda path, *_: path.touch())
        yield
