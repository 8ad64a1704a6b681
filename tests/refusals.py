"""Errors that tests expect by what their one line says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from aims.core.errors import AimsError


def refused(kind: type[AimsError], *parts: object) -> Any:
    """Expects an error whose message is one line that holds these parts, or lists of them, in this order."""
    texts = [str(text) for part in parts for text in (part if isinstance(part, list | tuple) else [part])]
    return pytest.raises(kind, match=r"\A.*" + ".*".join(map(re.escape, texts)) + r".*\Z")
