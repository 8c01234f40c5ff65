"""Where the tests of the pages keep what the browser showed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def screenshots(config: pytest.Config) -> Path:
    """The folder `screenshots` of the checkout, or $SCREENSHOTS."""
    return Path(os.environ.get("SCREENSHOTS", config.rootpath / "screenshots"))
