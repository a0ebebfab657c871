"""Makes a dump portable while it streams by: no at-rest key of the server it came from, no account's name; and notes
what the dump holds, so that whoever brings it back can prove that it is all there.

SHOW CREATE prints a table's ENCRYPTED and ENCRYPTION_KEY_ID, which mean nothing on another server: there, its own
settings decide how data rests. DEFINER names one of the tenant's accounts, which a restored tenant does not have;
without it the definer is whoever restores. Only the lines on which mariadb-dump prints these are touched; it
escapes line ends in data, so a row can never begin a line.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from typing import Any, Protocol

from tenantry.backup.manifest import Content, Table

__all__ = ["PortableDump"]

_LONGEST_HEAD = 4096
"""Lines that we change are shorter; a longer one that begins like one is passed on from here as it is."""
_LONGEST_OPTIONS = 1024 * 1024
_CREATE_TABLE = b"CREATE TABLE "
_OPTIONS = b") "
_DEFINED = (b"CREATE DEFINER=", b"/*!50013 DEFINER=", b"/*!50003 CREATE*/ /*!50017 DEFINER=", b"/*!50106 CREATE*/ ")
_HEADS = (_CREATE_TABLE, _OPTIONS, *_DEFINED)
_LONGEST_START = max(len(head) for head in _HEADS)
_QUOTED_OR_KEY = re.compile(
    rb"'(?:[^'\\]|\\.|'')*'"  # a comment may hold anything, also the words that we look for
    rb"| `?(?:ENCRYPTION_KEY_ID|ENCRYPTED)`?=(?:'\w*'|\w+)",
    re.IGNORECASE | re.DOTALL,
)
_INSERT = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` VALUES$")
"""mariadb-dump then prints each row on a line of its own."""
_PROGRAM = re.compile(rb"-- MariaDB dump \S+ +(Distrib [^,]+)")
_DEFINER = re.compile(rb"DEFINER=(?:`(?:[^`]|``)*`@`(?:[^`]|``)*`|`(?:[^`]|``)*`|CURRENT_USER(?:\(\))?) ?")


class _Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...


class PortableDump:
    """A filter before `target`: `write` in pieces of any size, then `finish`. Holds one short line at most."""

    def __init__(self, target: _Writer) -> None:
        self._target = target
        self._held = bytearray()
        self._passing = False
        self._in_table = False
        self._content = _Counting()

    @property
    def content(self) -> Content:
        """What has streamed by so far."""
        return self._content.content

    def write(self, data: bytes) -> None:
        """Take the next piece of the dump."""
        start = 0
        while start < len(data):
            end = data.find(b"\n", start) + 1
            piece = data[start : end or len(data)]
            self._content.take(piece, ends=bool(end))
            if self._passing:
                self._target.write(piece)
            else:
                self._held += piece
                self._decide(complete=bool(end))
            if end:
                self._passing = False
            start += len(piece)

    def finish(self) -> None:
        """Pass on a last line without an end."""
        self._decide(complete=True)

    def _decide(self, *, complete: bool) -> None:
        """Change and pass on what is held, or let it grow while its begin may still matter."""
        held = bytes(self._held)
        if not complete:
            undecided = len(held) < _LONGEST_START and any(head.startswith(held) for head in _HEADS)
            limit = _LONGEST_OPTIONS if self._ends_table(held) else _LONGEST_HEAD
            if undecided or (held.startswith(_HEADS) and len(held) < limit):
                return
        self._target.write(self._changed(held))
        self._held.clear()
        self._passing = not complete

    def _changed(self, line: bytes) -> bytes:
        if self._ends_table(line):
            self._in_table = False
            return _QUOTED_OR_KEY.sub(lambda found: found[0] if found[0].startswith(b"'") else b"", line)
        if line.startswith(_CREATE_TABLE):
            self._in_table = True
        elif line.startswith(_DEFINED):
            # Its first definer only: what follows is the body, which is the tenant's.
            return _DEFINER.sub(b"", line, count=1)
        return line

    def _ends_table(self, line: bytes) -> bool:
        return self._in_table and line.startswith(_OPTIONS)


class _Counting:
    """Rows by table, and a digest over them: the same for the same rows in the same order."""

    def __init__(self) -> None:
        self._program = ""
        self._rows: dict[str, int] = {}
        self._digests: defaultdict[str, Any] = defaultdict(hashlib.sha256)
        self._table: str | None = None
        self._row = False
        self._begins = True
        self._line = bytearray()

    @property
    def content(self) -> Content:
        return Content(
            program=self._program,
            tables=tuple(
                Table(name=name, rows=self._rows[name], sha256=self._digests[name].hexdigest())
                for name in sorted(self._rows)
            ),
        )

    def take(self, piece: bytes, *, ends: bool) -> None:
        """A line, or a piece of one; ends: its last."""
        if self._begins:
            self._row = self._table is not None and piece.startswith(b"(")
            self._line.clear()
        if self._row and self._table is not None:
            if self._begins:
                self._rows[self._table] += 1
            self._digests[self._table].update(piece)
        elif len(self._line) <= _LONGEST_HEAD:
            self._line += piece[: _LONGEST_HEAD + 1]
        self._begins = ends
        if ends and not self._row:
            self._note(bytes(self._line).rstrip(b"\n"))

    def _note(self, line: bytes) -> None:
        found = _INSERT.match(line)
        if found is not None:
            self._table = _name(found[1])
            self._rows.setdefault(self._table, 0)
            return
        self._table = None
        if line.startswith(_CREATE_TABLE) and line.endswith(b"` ("):
            self._rows.setdefault(_name(line[len(_CREATE_TABLE) + 1 : -3]), 0)
        elif not self._program and (program := _PROGRAM.match(line)) is not None:
            self._program = program[1].decode("ascii", "replace")


def _name(quoted: bytes) -> str:
    return quoted.replace(b"``", b"`").decode("utf-8", "replace")
