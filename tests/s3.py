"""An S3-compatible store in front of a folder, for tests that need one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.backup.conftest import eventually, process
from tests.programs import VERSITYGW, built

__all__ = ["Login", "s3_store"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """The store's only one."""

    access: str
    secret: str


@contextmanager
def s3_store(
    folder: Path, bucket: str, *, host: str = "127.0.0.1", port: int, login: Login, tls: tuple[Path, Path] | None = None
) -> Iterator[Path]:
    """It listens within the block, over TLS with this certificate and key. Gives the folder behind the bucket."""
    (folder / "buckets" / bucket).mkdir(parents=True)
    encrypted = ("--cert", str(tls[0]), "--key", str(tls[1])) if tls else ()
    with process(
        *(str(built(VERSITYGW)), "--port", f"{host}:{port}", *encrypted, "posix", str(folder / "buckets")),
        log=folder / "store.log",
        environment={**os.environ, "ROOT_ACCESS_KEY_ID": login.access, "ROOT_SECRET_ACCESS_KEY": login.secret},
    ):
        eventually(lambda: socket.create_connection((host, port), timeout=1).close())
        yield folder / "buckets" / bucket
