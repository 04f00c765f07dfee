"""Where an instance keeps its files: the lock of its port, and the tickets."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from llmsim.errors import ConfigError


def run_directory(configured: str, environ: Mapping[str, str]) -> Path:
    """Give the run directory, made if need be.

    Args:
        configured: The setting `server.run_dir`; empty to choose: systemd's `$RUNTIME_DIRECTORY`, else
            `llmsim` under `$XDG_RUNTIME_DIR`, else a directory of the user's own under the temporary one.
        environ: The environment.

    Raises:
        ConfigError: It cannot be made.
    """
    if configured:
        path = Path(configured)
    elif given := environ.get("RUNTIME_DIRECTORY"):
        path = Path(given.split(":")[0])
    elif runtime := environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "llmsim"
    else:
        path = Path(tempfile.gettempdir()) / f"llmsim-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"server.run_dir: cannot make {str(path)!r}: {error.strerror}") from None
    return path
