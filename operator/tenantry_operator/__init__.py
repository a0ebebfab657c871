"""The operator: reconciles Tenant objects, from the first provisioning to the deprovision certificate."""
