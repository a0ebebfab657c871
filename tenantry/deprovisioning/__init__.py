"""From the wish to delete a tenant to a signed certificate that it is gone: grace, final backup, erasing, inventory.

Used by the command line and the operator. The journal is `tenantry.tenancy.deletion`; every step can be repeated.
"""

from tenantry.deprovisioning.aging import age_out
from tenantry.deprovisioning.certificate import Certificate, check_certificate
from tenantry.deprovisioning.deprovisioning import Advanced, Deprovisioning, Lingering

__all__ = ["Advanced", "Certificate", "Deprovisioning", "Lingering", "age_out", "check_certificate"]
