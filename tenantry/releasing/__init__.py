"""Releases: bring a tenant to another version of its application, or leave it what it was."""

from tenantry.releasing.releasing import Advanced, Releasing

__all__ = ["Advanced", "Releasing"]
