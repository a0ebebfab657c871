"""When a tenant's scheduled tasks run: each tenant at minutes of its own, so that a thousand tenants do not all
knock at the shared servers at a quarter past. Pure."""

from __future__ import annotations

import hashlib
import re

__all__ = ["offset_minutes", "spread"]

_MINUTES = re.compile(r"\d+(,\d+)*")
_STEP = re.compile(r"\*/(\d+)")


def offset_minutes(namespace: str, window_minutes: int) -> int:
    """The tenant's own offset, 0 to window_minutes - 1: the same for all its tasks, which keeps their order."""
    return int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:4]) % window_minutes


def spread(schedule: str, offset: int) -> str:
    """The five-field schedule, its minutes moved by `offset` round the hour. What has ranges is left as it is."""
    minute, rest = schedule.split(maxsplit=1)
    if step := _STEP.fullmatch(minute):
        every = int(step[1])
        moved = range(offset % every, 60, every)
    elif _MINUTES.fullmatch(minute):
        moved = sorted((int(value) + offset) % 60 for value in minute.split(","))  # type: ignore[assignment]
    else:
        return schedule
    return f"{','.join(map(str, moved))} {rest}"
