"""Media folders as a tar stream, with memory flat in the number and size of the files."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tenantry.tenancy.errors import Conflict, DependencyUnavailable, RunFailed

__all__ = ["extract", "pack", "require_empty"]

_BLOCK_BYTES = 1024 * 1024


class _Exact:
    """A file read as exactly `size` bytes: one that shrinks while it is read is filled up, as tar does."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, count: int) -> bytes:
        count = min(count, self._left)
        data = self._file.read(count)
        self._left -= count
        return data.ljust(count, b"\0")


def pack(folder: Path, target: Any) -> tuple[str, ...]:
    """Write the folder's files into `target`; gives what was left out, one sentence each.

    Files that vanish meanwhile are passed over. Links that lead outside, sockets and devices are left out.
    """
    if not folder.is_dir():
        raise DependencyUnavailable("a media folder is not there", where=str(folder), hint="mount its volume")
    left_out: list[str] = []
    with tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_BLOCK_BYTES) as tar:
        for entry in _walk(folder):
            name = entry.relative_to(folder).as_posix()
            with suppress(FileNotFoundError):
                if not _add(tar, entry, name, folder):
                    left_out.append(f"{folder}/{name}: neither a file, a folder nor a link within it")
            _forget(tar)
    return tuple(left_out)


def require_empty(folder: Path) -> None:
    """Raises Conflict when there is anything in the folder."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Conflict("the folder for media is not empty", where=str(folder), hint="name another one, or use --force")


def extract(source: IO[bytes], folder: Path) -> None:
    """Unpack into the folder. Members that would land outside of it are refused (RunFailed)."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=_BLOCK_BYTES) as tar:
            for member in tar:
                tar.extract(member, folder, filter="data")
                _forget(tar)
        while source.read(_BLOCK_BYTES):  # the rest, so that the end of the ciphertext is checked as well
            pass
    except tarfile.TarError as error:
        raise RunFailed(f"media cannot be unpacked: {error}", where=str(folder)) from None
    except OSError as error:
        raise RunFailed(f"media cannot be written: {error.strerror}", where=str(folder)) from None


def _forget(tar: tarfile.TarFile) -> None:
    """tarfile keeps one object a file, for a list of names that nobody asks a stream for."""
    vars(tar)["members"] = []


def _walk(folder: Path) -> Iterator[Path]:
    """Folders before their content, sorted, so that equal folders give equal streams."""
    with suppress(FileNotFoundError):
        for entry in sorted(os.scandir(folder), key=lambda found: found.name):
            yield Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))


def _add(tar: tarfile.TarFile, path: Path, name: str, root: Path) -> bool:
    found = path.lstat()
    info = tarfile.TarInfo(name)
    info.mtime = int(found.st_mtime)
    info.mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISDIR(found.st_mode):
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    elif stat.S_ISLNK(found.st_mode):
        info.type = tarfile.SYMTYPE
        info.linkname = str(path.readlink())
        if Path(info.linkname).is_absolute() or not path.resolve().is_relative_to(root.resolve()):
            return False
        tar.addfile(info)
    elif stat.S_ISREG(found.st_mode):
        with path.open("rb") as file:
            info.size = os.fstat(file.fileno()).st_size
            tar.addfile(info, _Exact(file, info.size))  # type: ignore[arg-type]
    else:
        return False
    return True
