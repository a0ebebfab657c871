"""The inventory: does anything in the cell still carry a deleted tenant's incarnation?

It shares no code with what deletes: its own clients, its own queries, and no list of names that the tenant had. It
looks for the incarnation itself, which every name of one life of a tenant carries, in every system and in every kind
of thing. `make check` holds it to that: it may import the domain, and nothing else of Tenantry.
"""

from tenantry.inventory.findings import Finding, Inventory, Kept, Subject
from tenantry.inventory.searching import SYSTEMS, search

__all__ = ["SYSTEMS", "Finding", "Inventory", "Kept", "Subject", "search"]
