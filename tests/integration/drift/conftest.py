"""The cell and its tenants, made as the tests of deleting make them."""

from tests.integration.deprovisioning.conftest import fleet, make, systems

__all__ = ["fleet", "make", "systems"]
