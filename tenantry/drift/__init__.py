"""Finding drift: a look at the whole cell that costs a few lists, and the tenants at which it found something."""

from tenantry.drift.survey import Pass, Survey

__all__ = ["Pass", "Survey"]
