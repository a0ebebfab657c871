"""The local platform: a whole cell on one machine, with no container engine.

Who calls it: the command line (`tenantry local …`) and the tests. Who it knows: the domain, nothing else of ours.
"""

from tenantry.local.machine import LocalPlatform
from tenantry.local.operating import Operated
from tenantry.local.part import PartStatus, State
from tenantry.local.record import Nodes

__all__ = ["LocalPlatform", "Nodes", "Operated", "PartStatus", "State"]
