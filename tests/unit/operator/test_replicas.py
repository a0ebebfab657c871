"""What autoscalers were last seen to have, and when that is no longer known."""

from __future__ import annotations

from tenantry.tenancy.scaling import Span
from tenantry_operator.replicas import SeenSpans

NARROWED = {"web": Span(least=1, most=2)}


def test_what_was_seen_is_known_until_somebody_else_may_have_written() -> None:
    seen = SeenSpans()
    assert seen.of("abcd2345", "first run") == {}
    seen.note("abcd2345", "first run", NARROWED)
    assert seen.of("abcd2345", "first run") == NARROWED
    assert seen.of("abcd2345", "second run") == {}
    assert seen.of("zzzz2345", "first run") == {}


def test_nothing_is_kept_of_a_tenant_that_is_gone() -> None:
    seen = SeenSpans()
    seen.note("abcd2345", "first run", NARROWED)
    seen.forget("abcd2345")
    seen.forget("abcd2345")
    assert seen.of("abcd2345", "first run") == {}
