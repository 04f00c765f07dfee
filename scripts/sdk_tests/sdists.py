"""The source distributions of the SDKs: they carry the tests, which wheels do not.

Decisions:
* The version is that of the lock file, which is the one that is installed: tests of another version ask for other types.
* pip downloads with the machine's own configuration.
"""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

_LOCK = Path("requirements-dev.lock")


def locked_version(package: str) -> str:
    """Return the version of a package in the lock file.

    Raises:
        LookupError: The lock file does not have it.
    """
    found = re.search(rf"^{re.escape(package)}==(\S+)", _LOCK.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise LookupError(f"{_LOCK}: no {package}")
    return found[1]


def unpack_sdist(package: str, folder: Path) -> Path:
    """Return the unpacked source distribution of a package; it is downloaded unless the folder has it.

    Raises:
        subprocess.CalledProcessError: pip failed, and has printed why.
    """
    name = f"{package}-{locked_version(package)}"
    archive, unpacked = folder / f"{name}.tar.gz", folder / name
    if not archive.exists():
        # What builds it may come as a wheel.
        arguments = ["--no-binary", package, "--no-deps", "--dest", str(folder), name.replace("-", "==")]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *arguments], check=True)
    if not unpacked.exists():
        with tarfile.open(archive) as files:
            files.extractall(folder, filter="data")
    return unpacked
