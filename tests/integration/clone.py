"""Plain `pulumi` in a folder like a clone's: the project file, the programs, and the settings of stacks beside them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LIMIT_S", "PACK", "Clone"]

_ROOT = Path(__file__).parents[2]
PACK = ("--policy-pack", str(_ROOT / "policies"))
LIMIT_S = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """The environment leads to the cell, its file among it. state: the backend's folder."""

    folder: Path
    state: Path

    @classmethod
    def at(cls, where: Path) -> Clone:
        folder, state = where / "clone", where / "state"
        for one in (folder, state):
            one.mkdir()
        shutil.copy(_ROOT / "Pulumi.yaml", folder)
        (folder / "stacks").symlink_to(_ROOT / "stacks")
        (folder / ".venv").symlink_to(sys.prefix)
        return cls(folder=folder, state=state)

    def settings(self, stack: str) -> Path:
        return self.folder / f"Pulumi.{stack}.yaml"

    def pulumi(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", "never"],
            cwd=self.folder,
            env={
                **os.environ,
                "PULUMI_BACKEND_URL": self.state.as_uri(),
                "PULUMI_SKIP_UPDATE_CHECK": "true",
                **environment,
            },
            text=True,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )

    def must(self, *arguments: str) -> str:
        done = self.pulumi(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def stack(self, name: str, **config: str) -> None:
        """A new stack with this config, under a key of its own."""
        self.must("stack", "init", name, "--secrets-provider", f"hashivault://state-{name}")
        self.configure(name, **config)

    def configure(self, name: str, **config: str) -> None:
        for key, value in config.items():
            self.must("config", "set", f"tenantry:{key}", value, "--stack", name)
