"""What the API server refuses is told as an error of ours."""

from __future__ import annotations

import pytest

from tenantry.engine.cluster import ApiError, as_ours
from tenantry.tenancy.errors import Conflict, RunFailed


@pytest.mark.parametrize("status", [400, 403, 404, 409, 410, 422, 500])
def test_a_refusal_is_a_failed_run_that_says_where_and_why(status: int) -> None:
    ours = as_ours(ApiError(status, {"reason": "Because", "message": "not like this"}), where="t-acme-abcd2345")
    assert isinstance(ours, RunFailed)
    assert f"{status} Because" in ours.message
    assert "not like this" in ours.message
    assert ours.where == "t-acme-abcd2345"
    assert ours.hint


def test_an_error_of_ours_stays_itself() -> None:
    error = Conflict("taken")
    assert as_ours(error, where="elsewhere") is error
