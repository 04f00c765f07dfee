"""The page on coverage: it is what the script writes."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")


def test_the_page_is_current() -> None:
    """API-4.5: The page is what scripts/update-coverage writes from the SDKs and the code."""
    installed = [
        f"{name} {importlib.metadata.version(name)}" for name in ("openai", "anthropic", "google-genai")
    ]
    if not all(one in PAGE for one in installed):
        pytest.skip(f"the page was made from other versions; {', '.join(installed)} are installed")

    check = subprocess.run(
        [sys.executable, ROOT / "scripts" / "update-coverage", "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert check.returncode == 0, check.stdout + check.stderr
