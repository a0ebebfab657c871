"""The fingerprint of a stack's last finished run: what lets an unchanged tenant be recognised without running anything.

It is the program's own fingerprint and the digest of the checkpoint; both must still be the same.
"""

from __future__ import annotations

import json

from tenantry.engine.checkpoint import digest_of
from tenantry.engine.storage import StackFiles, write_atomically

__all__ = ["recognises", "remember"]


def recognises(files: StackFiles, fingerprint: str) -> bool:
    """Whether the last run of this very program finished and nothing touched the state since."""
    if not fingerprint or files.journal.exists():
        return False
    kept = _kept(files)
    return kept.get("program") == fingerprint and kept.get("checkpoint") == digest_of(files.checkpoint) != ""


def remember(files: StackFiles, fingerprint: str) -> None:
    """Note a finished run. Writes only when something differs."""
    entry = {"program": fingerprint, "checkpoint": digest_of(files.checkpoint)}
    if fingerprint and entry != _kept(files):
        write_atomically(files.finished, json.dumps(entry).encode())


def _kept(files: StackFiles) -> dict[str, object]:
    try:
        kept = json.loads(files.finished.read_bytes())
    except (OSError, ValueError):
        return {}  # without it a run is simply carried out
    return kept if isinstance(kept, dict) else {}
