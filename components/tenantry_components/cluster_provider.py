"""The Kubernetes provider of a stack: how its objects are applied, and nothing about where.

Which cluster it speaks to is what KUBECONFIG (or the pod's own account) leads to when the stack runs. The SDK's own
class would make the value of KUBECONFIG an input, and a path of one machine would stand in the state that another
machine goes on with.
"""

from __future__ import annotations

from importlib.metadata import version

import pulumi

__all__ = ["cluster_provider"]

# As the SDK sends them: a provider's configuration is a map of texts, and what is no text stands in it as JSON.
_SETTINGS = {
    "enableServerSideApply": "true",
    # A changed value updates a ConfigMap instead of replacing it, and with it all that depends on it.
    "enableConfigMapMutable": "true",
    "enableSecretMutable": "true",
}


def cluster_provider() -> pulumi.ProviderResource:
    """The provider of this program's Kubernetes objects, at the version of the installed SDK."""
    return pulumi.ProviderResource(
        "kubernetes", "kubernetes", dict(_SETTINGS), pulumi.ResourceOptions(version=version("pulumi-kubernetes"))
    )
