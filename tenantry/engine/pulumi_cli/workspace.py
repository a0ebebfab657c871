"""The folder in which the CLI runs a stack: its project file, the stack's settings, and the environment.

It is the same folder of settings that the embedded engine writes, so that both know the same key and config.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from pulumi.automation import LocalWorkspace

from tenantry.engine.interface import Program, Stack
from tenantry.engine.pulumi_cli.command import Command
from tenantry.engine.storage import StackFiles, make_folder, write_atomically

__all__ = ["backend_url", "is_local", "opened"]

_PROGRAM = Path(__file__).parent / "program"


def backend_url(stack: Stack) -> str:
    """PULUMI_BACKEND_URL, else the folder that the embedded engine uses too."""
    return os.environ.get("PULUMI_BACKEND_URL") or f"file://{stack.backend}"


def is_local(stack: Stack) -> bool:
    """Whether state is in the stack's own folder, where both engines reach it."""
    return backend_url(stack) == f"file://{stack.backend}"


@contextmanager
def opened(stack: Stack, program: Program | None, command: Command) -> Iterator[LocalWorkspace]:
    """A workspace for one run. program: None for what needs none (refresh, destroy, export)."""
    files = StackFiles(stack)
    folder = files.settings.parent
    _write_project(folder / "Pulumi.yaml", stack)
    make_folder(files.lock.parent)
    with tempfile.TemporaryDirectory(prefix="program-", dir=files.lock.parent) as handed:
        environment = _environment(stack)
        if program is not None:
            path = Path(handed) / "program"
            write_atomically(path, pickle.dumps(program))
            environment["TENANTRY_PROGRAM"] = str(path)
        yield LocalWorkspace(
            work_dir=str(folder),
            env_vars=environment,
            secrets_provider=stack.secrets_provider,
            pulumi_command=command,
        )


def _write_project(path: Path, stack: Stack) -> None:
    options = {"virtualenv": sys.prefix} if sys.prefix != sys.base_prefix else {}
    document = {
        "name": stack.project,
        "description": "Run by tenantry; the program comes with each run",
        "runtime": {"name": "python", "options": options},
        "main": str(_PROGRAM),
    }
    text = yaml.safe_dump(document, sort_keys=False).encode()
    if not path.exists() or path.read_bytes() != text:
        write_atomically(path, text)


def _environment(stack: Stack) -> dict[str, str]:
    # What can be imported here can be imported there: dynamic providers are stored by reference.
    importable = [str(Path(entry or ".").resolve()) for entry in sys.path if Path(entry or ".").is_dir()]
    return {
        "PULUMI_BACKEND_URL": backend_url(stack),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_PYTHON_CMD": sys.executable,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(importable)),
    }
