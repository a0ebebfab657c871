"""The manifest of one backup: what makes its objects a backup. Written last, removed first."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tenantry.tenancy.errors import StateCorrupt

__all__ = ["ID", "MANIFEST", "Content", "Manifest", "Part", "Segment", "Table", "binding", "new_id", "taken_at"]

MANIFEST = "manifest.json"
ID = re.compile(r"^\d{8}T\d{6}Z-[0-9a-f]{8}$")
_TIME = "%Y%m%dT%H%M%SZ"
_Sha256 = Field(pattern=r"^[0-9a-f]{64}$")


def new_id(now: datetime) -> str:
    """Sorts by time in UTC: the second, 4 digits for the part of it that has passed, and 4 random ones."""
    return f"{now.astimezone(UTC).strftime(_TIME)}-{now.microsecond * 0x10000 // 1_000_000:04x}{secrets.token_hex(2)}"


def taken_at(identifier: str) -> datetime:
    """When the backup began. Raises ValueError for what is no id."""
    if not ID.match(identifier):
        raise ValueError(f"{identifier!r} is not the id of a backup")
    return datetime.strptime(identifier[:16], _TIME).replace(tzinfo=UTC)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class Segment(_Model):
    """One object of a part: size in bytes and digest of what is stored, the ciphertext."""

    size: int = Field(ge=0)
    sha256: str = _Sha256


class Part(_Model):
    """One stream: compressed, then encrypted by its own data key, then cut into objects."""

    name: str = Field(pattern=r"^(database|secrets|media-[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?)$")
    kind: Literal["database", "media", "secrets"]
    size: int = Field(ge=0)
    """Bytes of ciphertext."""
    sha256: str = _Sha256
    """Of the whole ciphertext."""
    plain_size: int = Field(ge=0)
    """Bytes before compression and encryption."""
    wrapped_key: str = Field(pattern=r"^vault:v\d+:.+$")
    """The data key as transit ciphertext; `transit/rewrap` may replace it."""
    key_version: int = Field(ge=1)
    segments: tuple[Segment, ...]

    @property
    def volume(self) -> str:
        """Of media: the volume whose files they are."""
        return self.name.removeprefix("media-")

    @model_validator(mode="after")
    def _adds_up(self) -> Part:
        if sum(segment.size for segment in self.segments) != self.size:
            raise ValueError("the segments' sizes do not add up to the part's size")
        if not self.name.startswith(self.kind):
            raise ValueError("name and kind of the part disagree")
        return self


class Table(_Model):
    """One table's rows, counted and digested as the dump has them."""

    name: str
    rows: int = Field(ge=0)
    sha256: str = _Sha256


class Content(_Model):
    """What the dump holds. program: what made it; another one may write the same rows in other words, so that digests
    compare within one program only, and row counts always."""

    program: str
    tables: tuple[Table, ...]

    def differences(self, found: Content) -> tuple[str, ...]:
        """What of this is not so in `found`, one sentence each; () when all of it is."""
        wanted, there = ({table.name: table for table in one.tables} for one in (self, found))
        said = [f"table {name} is missing" for name in sorted(wanted.keys() - there.keys())]
        said += [f"table {name} is too many" for name in sorted(there.keys() - wanted.keys())]
        for name in sorted(wanted.keys() & there.keys()):
            if wanted[name].rows != there[name].rows:
                said.append(f"table {name} has {there[name].rows} rows instead of {wanted[name].rows}")
            elif self.program == found.program and wanted[name].sha256 != there[name].sha256:
                said.append(f"table {name} has other rows")
        return tuple(said)


class Manifest(_Model):
    version: Literal[1] = 1
    id: str = Field(pattern=ID.pattern)
    namespace: str
    incarnation: str
    database_schema: str = Field(alias="schema")
    release: str
    started_at: AwareDatetime
    finished_at: AwareDatetime
    transit_key: str
    parts: tuple[Part, ...] = Field(min_length=1)
    content: Content | None = None
    """None in backups of before it was noted."""
    left_out: tuple[str, ...] = ()
    """What could not be taken and why, one sentence each; empty as a rule."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Manifest:
        if len({part.name for part in self.parts}) != len(self.parts):
            raise ValueError("a part stands twice")
        return self

    @property
    def size(self) -> int:
        """Bytes in the store, without the manifest."""
        return sum(part.size for part in self.parts)

    def context(self, part: str) -> bytes:
        """What a part's key and ciphertext are bound to: neither opens under another name."""
        return binding(namespace=self.namespace, incarnation=self.incarnation, identifier=self.id, part=part)

    def text(self) -> bytes:
        return self.model_dump_json(by_alias=True, indent=1).encode()

    @classmethod
    def parse(cls, text: bytes, *, where: str) -> Manifest:
        """Raises StateCorrupt when it is not a manifest of a version that this program knows."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            path = ".".join(str(step) for step in first["loc"])
            raise StateCorrupt(
                f"the manifest cannot be read: {path or 'document'}: {first['msg']}",
                where=where,
                hint="it is damaged or from a newer program; the backup is left alone",
            ) from None


def binding(*, namespace: str, incarnation: str, identifier: str, part: str) -> bytes:
    return f"tenantry-backup/1/{namespace}/{incarnation}/{identifier}/{part}".encode()
