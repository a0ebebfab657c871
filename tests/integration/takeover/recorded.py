"""Checkpoints that the Pulumi CLI wrote for programs of ours, kept so that what it writes is known without it.

`python -m tests.integration.takeover.recorded` writes them anew, on the local platform of this machine and with the CLI
on PATH. They are as the CLI wrote them, one resource a line, but for what differs from machine to machine: the cell's
ports are placeholders, and the places in the source are left out. No secret is in them in plain text; those of the shop
are under a passphrase that protects nothing.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tenantry.engine import Program, Stack
from tenantry.engine.choosing import EngineKind, make_engine
from tenantry.tenancy.cell import Cell
from tenantry.tenancy.manifest import load_cell

__all__ = ["PASSPHRASE", "RECORDED", "Recording", "fitted", "made_by"]

FOLDER = Path(__file__).parent / "checkpoints"
_OF_THE_MACHINE = ("sourcePosition", "stackTrace")
PASSPHRASE = "known to everybody"
"""Protects nothing."""


@dataclass(frozen=True, slots=True)
class Recording:
    name: str

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.name}.json"

    def stack(self, backend: Path) -> Stack:
        return Stack(project=self.name, name=f"recorded-{self.name}", backend=backend, secrets_provider="passphrase")

    def program(self, cell: Cell, folder: Path) -> Program:
        """folder: for what it makes outside of Kubernetes."""
        if self.name == "zoo":
            arguments: dict[str, Any] = {"namespace": "recorded-zoo", "cell": cell}
            return Program(entry="tests.integration.takeover.zoo:zoo", arguments=arguments)
        arguments = {"namespace": "recorded-shop", "file": str(folder / "sign.txt")}
        return Program(entry="tests.integration.engine.shop:main", arguments=arguments)


RECORDED = (Recording("shop"), Recording("zoo"))


def made_by(recording: Recording) -> Mapping[str, str]:
    """Versions of CLI, SDK, Kubernetes provider and of our program that made a recording."""
    made: Mapping[str, str] = json.loads(recording.file.read_text(encoding="utf-8"))["made by"]
    return made


def fitted(recording: Recording, cell: Cell, folder: Path) -> dict[str, Any]:
    """The checkpoint, as the CLI would have written it in this cell."""
    text = recording.file.read_text(encoding="utf-8")
    for marker, value in _places(cell, folder):
        text = text.replace(marker, value)
    document: dict[str, Any] = json.loads(text)
    del document["made by"]
    return document


def _places(cell: Cell, folder: Path) -> Iterator[tuple[str, str]]:
    spec = cell.spec
    yield "<folder>", str(folder)
    yield "<messaging>", spec.messaging.management_url
    for name, port in (("database", spec.database.port), ("cache", spec.cache.port)):
        yield f'"<{name} port>"', str(port)


def _record(recording: Recording, cell: Cell, commit: str) -> None:
    with tempfile.TemporaryDirectory() as folder, make_engine(EngineKind.CLI) as cli:
        stack = recording.stack(Path(folder))
        program = recording.program(cell, Path(folder))
        cli.destroy(stack)
        cli.up(stack, program)
        path = Path(folder) / ".pulumi" / "stacks" / stack.project / f"{stack.name}.json"
        document = json.loads(path.read_bytes())
        cli.destroy(stack)
        made = {
            "cli": cli.name,
            "pulumi": version("pulumi"),
            "pulumi-kubernetes": version("pulumi-kubernetes"),
            "program": f"{program.entry} at {commit}",
        }
        latest = document["checkpoint"]["latest"]
        resources = [
            {key: value for key, value in one.items() if key not in _OF_THE_MACHINE} for one in latest.pop("resources")
        ]
        lines = ",\n".join(json.dumps(one, sort_keys=True) for one in resources)
        text = json.dumps({"made by": made, **document}, sort_keys=True)
        text = text.replace('"latest": {', f'"latest": {{"resources": [\n{lines}\n], ', 1)
        for marker, value in _places(cell, Path(folder)):
            text = text.replace(value, marker)
        recording.file.write_text(text + "\n", encoding="utf-8")


def main() -> None:
    import subprocess

    from tenantry.local import LocalPlatform

    platform = LocalPlatform("default")
    os.environ.update(platform.environment())
    os.environ["PULUMI_CONFIG_PASSPHRASE"] = PASSPHRASE
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    FOLDER.mkdir(exist_ok=True)
    for recording in RECORDED:
        _record(recording, load_cell(platform.cell_file), done.stdout.strip())


if __name__ == "__main__":
    main()
