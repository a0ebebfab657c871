"""The backup program, `tenantry-backup`: one tenant's database, media and application secrets, enveloped.

Runs inside the tenant's namespace with the tenant's own identity. Where no pod can run, `tenantry.recovery` runs the
same as that tenant.
"""
