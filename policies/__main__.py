"""Entry of the policy pack for the Pulumi CLI: `pulumi up --policy-pack policies`."""

from tenantry_policies.pulumi_pack import main

main()
