"""The tenants of a cell, as the drivers handle them: which there are, and how one becomes a stack run.

Used by the command line. It joins the domain (who is this tenant?) to an engine (run its stack); the programs
are named by reference, so nothing here imports Pulumi.
"""

from tenantry.fleet.fleet import Applied, Fleet, check_test_environment
from tenantry.fleet.home import home
from tenantry.fleet.registry import Record, Registry
from tenantry.fleet.shown import Shown

__all__ = ["Applied", "Fleet", "Record", "Registry", "Shown", "check_test_environment", "home"]
