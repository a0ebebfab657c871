"""A stack's key: where the state names it, how it is opened, and how a new stack gets one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tenantry.engine.checkpoint import Checkpoint
from tenantry.engine.interface import Stack
from tenantry.engine.passphrase import PASSPHRASE
from tenantry.engine.sealing import Sealer, create_sealer, open_sealer
from tenantry.engine.storage import StackFiles, storage_error, write_atomically
from tenantry.tenancy.errors import Conflict, InvalidInput, StateCorrupt

__all__ = ["StackKey", "provider_of"]


def provider_of(secrets: Mapping[str, Any]) -> str:
    """The secrets provider that a checkpoint's `secrets_providers` names, as `Stack.secrets_provider` has it."""
    if secrets.get("type") == PASSPHRASE:
        return PASSPHRASE
    return str((secrets.get("state") or {}).get("url"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StackKey:
    """afresh: see `open_sealer`; for runs of another process, which opens the key itself."""

    stack: Stack
    files: StackFiles
    afresh: bool = False

    def existing(self, last: Checkpoint | None) -> Sealer | None:
        """The sealer of what is recorded, None before a stack's first save. Raises Conflict for another key's state."""
        if last is not None and last.secrets:
            self._check_provider(provider_of(last.secrets))
            return open_sealer(last.secrets, where=str(self.files.checkpoint), afresh=self.afresh)
        settings = self._settings()
        if "encryptionsalt" in settings:
            state = {"type": PASSPHRASE, "state": {"salt": settings["encryptionsalt"]}}
        elif "encryptedkey" in settings:
            inner = {"url": str(settings.get("secretsprovider")), "encryptedkey": settings["encryptedkey"]}
            state = {"type": "cloud", "state": inner}
        else:
            return None
        self._check_provider(provider_of(state))
        return open_sealer(state, where=str(self.files.settings), afresh=self.afresh)

    def _check_provider(self, url: str) -> None:
        if url != self.stack.secrets_provider:
            raise Conflict(
                f"the state's secrets are under {url}, not {self.stack.secrets_provider}",
                where=self.stack.name,
                hint="name the key that the stack was made with",
            )

    def new(self) -> Sealer:
        """A sealer for a stack that has none; its key is made."""
        sealer = create_sealer(self.stack.secrets_provider)
        # Before the first save: a run killed in between finds its key here, and so does the CLI later.
        document = {**sealer.settings, "config": dict(self.stack.config)}
        write_atomically(self.files.settings, yaml.safe_dump(document, sort_keys=False).encode())
        return sealer

    def _settings(self) -> dict[str, Any]:
        try:
            document = yaml.safe_load(self.files.settings.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise storage_error(error, self.files.settings) from error
        except (yaml.YAMLError, ValueError) as error:
            raise StateCorrupt("the stack's settings cannot be read", where=str(self.files.settings)) from error
        if not isinstance(document, dict):
            raise InvalidInput("the stack's settings are not a mapping", source=str(self.files.settings))
        return document
