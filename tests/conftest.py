"""Puts this folder on the import path, so that tests in subfolders find the modules beside this file."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    return Path(__file__).parent / "data"
