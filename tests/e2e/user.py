"""A person at a shell in the clone."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "User"]

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv" / "bin"
COMMAND_LIMIT_S = 1800


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Types commands in the clone, with one data folder and nothing else set up. more: variables of their shell."""

    home: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("VAULT_", "BAO_", "KUBECONFIG"))}
        own = {"TENANTRY_HOME": str(self.home), "PATH": f"{BIN}:{os.environ['PATH']}", "COLUMNS": "200"}
        return kept | own | self.more

    def without_operator(self) -> User:
        """The same person and the same platform, by a cell file of theirs in which no operator keeps the tenants: the
        command runs the stacks itself."""
        variables = {key: value for key, value in self.json("local", "env").items() if key != "PATH"}
        cell = self.home / "without-operator.yaml"
        text = Path(variables["TENANTRY_CELL"]).read_text()
        assert "operator: true" in text
        cell.write_text(text.replace("operator: true", "operator: false"))
        cell.chmod(0o600)
        return User(home=self.home, more=variables | {"TENANTRY_CELL": str(cell)})

    def types(
        self, *arguments: str, code: int | None = 0, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command and expect its exit code (None: any)."""
        done = subprocess.run(
            arguments,
            cwd=ROOT,
            env=self.environment | (env or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: str, code: int | None = 0, env: dict[str, str] | None = None) -> Any:
        return json.loads(self.types("tenantry", *arguments, "--json", code=code, env=env).stdout)

    def shell(self, script: str, *, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a script after `eval "$(tenantry local env)"`, as the README tells."""
        return self.types("bash", "-euc", f'eval "$(tenantry local env)"\n{script}', code=code)
