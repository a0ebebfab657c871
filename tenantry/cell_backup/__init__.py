"""A cell's backup as one sealed file, and the cell made anew from it.

keys.py        the pair of keys: the public one seals, the private one is kept outside the cell and opens
archive.py     the file: a sealed, compressed tar, streamed
taking.py      what goes in, in which order, so that all of it is of one moment
restoring.py   a platform made from it
burying.py     tenants that were deleted since are deleted again
"""

from tenantry.cell_backup.burying import bury_again, read_tombstones, renew_passwords
from tenantry.cell_backup.keys import make_keys
from tenantry.cell_backup.restoring import Restored, finished, restore
from tenantry.cell_backup.taking import Taken, take

__all__ = [
    "Restored",
    "Taken",
    "bury_again",
    "finished",
    "make_keys",
    "read_tombstones",
    "renew_passwords",
    "restore",
    "take",
]
