"""The Pulumi programs, and what a process that is to run them for tenants imports beforehand."""

PRELOAD = ("stacks.tenant_stack", "tenantry_policies.embedded")
