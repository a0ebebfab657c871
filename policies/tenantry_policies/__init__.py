"""What the resources of a tenant must never break, as a Pulumi policy pack and as plain checks."""
