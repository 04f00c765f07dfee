"""Settings of what clients upload and manage by id: files, uploads, batches, conversations and vector stores."""

from typing import Annotated

import msgspec

from llmsim.config.metadata import setting


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Limits of uploaded files, and of the other objects that clients create and delete."""

    max_file_bytes: Annotated[
        int,
        setting(
            "Largest form (`multipart/form-data`) and so the largest file that is uploaded; a larger one gets a 413. The real "
            "APIs take 512 MB.",
            unit="bytes",
            ge=1024,
            le=2**40,
        ),
    ] = 64 * 2**20
    max_bytes: Annotated[
        int,
        setting(
            "Most bytes of all uploaded files; a file that does not fit is refused, as by the real APIs, until others are "
            "deleted. They lie in `server.run_dir`.",
            unit="bytes",
            ge=1024,
            le=2**44,
        ),
    ] = 256 * 2**20
    max_objects: Annotated[
        int,
        setting(
            "Most files, uploads, batches, conversations, their items, and vector stores; the oldest are evicted first.",
            unit="objects",
            ge=1,
            le=10_000_000,
        ),
    ] = 100_000
