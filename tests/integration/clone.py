"""Plain `pulumi` in a folder like a clone's: the project file, the programs, and the settings of stacks beside them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

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
        project = yaml.safe_load((_ROOT / "Pulumi.yaml").read_text(encoding="utf-8"))
        project |= {"main": str(_ROOT / "stacks"), "runtime": {"name": "python", "options": {"virtualenv": sys.prefix}}}
        (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project), encoding="utf-8")
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
        for key, value in config.items():
            self.must("config", "set", f"tenantry:{key}", value, "--stack", name)
