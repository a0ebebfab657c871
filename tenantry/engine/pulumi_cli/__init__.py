"""Runs stacks by the Pulumi CLI, through Pulumi's Automation API: `PulumiCli` implements `Engine`.

For platform engineers who keep the tool that they know, and for what the embedded engine refuses (cloud providers).
Importing this package loads the Automation API; import it only where the CLI is wanted (see engine/choosing.py).
"""

from tenantry.engine.pulumi_cli.engine import PulumiCli

__all__ = ["PulumiCli"]
