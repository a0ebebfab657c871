"""The backup program, `tenantry-backup`: one tenant's database, media and application secrets, enveloped.

Runs inside the tenant's namespace with the tenant's own identity. Nothing else in Tenantry imports it.
"""
