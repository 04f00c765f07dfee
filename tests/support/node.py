"""Packages of Node for tests that drive clients in JavaScript."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def node_packages(folder: Path, *packages: str) -> Path:
    """Return a folder with `node_modules` that has these packages: `EXAMPLES_NODE` names one, else they are installed."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    if given := os.environ.get("EXAMPLES_NODE"):
        return Path(given)
    subprocess.run(["npm", "init", "-y"], cwd=folder, check=True, capture_output=True, timeout=60)
    subprocess.run(["npm", "install", *packages], cwd=folder, check=True, capture_output=True, timeout=600)
    return folder
