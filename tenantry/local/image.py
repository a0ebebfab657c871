"""Container images made on this machine without a container engine: an OCI image layout in a tar archive.

https://github.com/opencontainers/image-spec. The same content gives the same bytes, so that an image that has not
changed is not a new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Image"]

_ARCHITECTURES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image of one layer.

    name: with host and tag. programs: path in the image → file on this machine, executable for all. data: the same,
    only readable. links: path → what it points to. files: path → text, readable for all. scripts: the same, executable.
    folders: writable for all, like /tmp. entrypoint: what runs when a pod names no command. Owner of everything: root.
    """

    name: str
    programs: Mapping[str, Path]
    data: Mapping[str, Path] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    scripts: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ("tmp",)
    entrypoint: tuple[str, ...] = ()
    user: str = "65532:65532"

    def fingerprint(self) -> str:
        """Changes when the image would: by content, but for files of this machine by size and time, which are quick to
        read."""
        texts = [dict(self.links), dict(self.files), dict(self.scripts)]
        parts: list[Any] = [self.name, *texts, self.folders, self.entrypoint, self.user]
        for path, source in sorted({**self.programs, **self.data}.items()):
            found = source.stat()
            parts.append([path, str(source), found.st_size, found.st_mtime_ns])
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def write(self, archive: Path) -> None:
        """Write the archive; its folder gets the layer, too, for the time being."""
        layer = archive.with_name("layer.tar")
        self._write_layer(layer)
        digest = _digest(layer)
        configuration = _text(
            {
                "architecture": _ARCHITECTURES.get(platform.machine().lower(), platform.machine().lower()),
                "os": "linux",
                "config": {
                    "Entrypoint": list(self.entrypoint),
                    "User": self.user,
                    "WorkingDir": "/",
                    "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
                },
                "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            }
        )
        manifest = _text(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": _described("application/vnd.oci.image.config.v1+json", configuration),
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": f"sha256:{digest}",
                        "size": layer.stat().st_size,
                    }
                ],
            }
        )
        named = _described("application/vnd.oci.image.manifest.v1+json", manifest)
        named["annotations"] = {
            "io.containerd.image.name": self.name,
            "org.opencontainers.image.ref.name": self.name.rpartition(":")[2],
        }
        with tarfile.open(archive, "w") as tar:
            _add_text(tar, "oci-layout", _text({"imageLayoutVersion": "1.0.0"}))
            _add_text(tar, "index.json", _text({"schemaVersion": 2, "manifests": [named]}))
            for content in (configuration, manifest):
                _add_text(tar, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
            _add_file(tar, f"blobs/sha256/{digest}", layer, mode=0o644)
        layer.unlink()

    def _write_layer(self, layer: Path) -> None:
        with tarfile.open(layer, "w") as tar:
            for folder in self._parents():
                _add(tar, folder, tarfile.DIRTYPE, 0o755)
            for folder in sorted(self.folders):
                _add(tar, folder, tarfile.DIRTYPE, 0o1777)
            for path, source in sorted(self.programs.items()):
                _add_file(tar, path, source, mode=0o755)
            for path, source in sorted(self.data.items()):
                _add_file(tar, path, source, mode=0o644)
            for path, target in sorted(self.links.items()):
                _add(tar, path, tarfile.SYMTYPE, 0o777, target=target)
            for path, text in sorted(self.files.items()):
                _add_text(tar, path, text.encode())
            for path, text in sorted(self.scripts.items()):
                _add_text(tar, path, text.encode(), mode=0o755)

    def _parents(self) -> list[str]:
        paths = (*self.programs, *self.data, *self.links, *self.files, *self.scripts, *self.folders)
        return sorted({str(parent) for path in paths for parent in Path(path).parents if str(parent) != "."})


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _text(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _described(media_type: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }


def _entry(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    """Owner root, time zero: only what matters makes a difference."""
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = kind, mode
    return entry


def _add(tar: tarfile.TarFile, name: str, kind: bytes, mode: int, *, target: str = "") -> None:
    entry = _entry(name, kind, mode)
    entry.linkname = target
    tar.addfile(entry)


def _add_text(tar: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _add_file(tar: tarfile.TarFile, name: str, source: Path, *, mode: int) -> None:
    entry = _entry(name, tarfile.REGTYPE, mode)
    entry.size = source.stat().st_size
    with source.open("rb") as file:
        tar.addfile(entry, file)
