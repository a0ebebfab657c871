"""What the operator can do for a tenant: one module an action. A new one is added to the list here."""

from tenantry_operator.actions.backup import Backup
from tenantry_operator.actions.drift import CheckDrift
from tenantry_operator.actions.expire import Expire
from tenantry_operator.actions.provision import Provision
from tenantry_operator.actions.release import Release
from tenantry_operator.actions.restore import Restore
from tenantry_operator.actions.scale import Scale
from tenantry_operator.contract import Action
from tenantry_operator.deprovisioning import Deprovision
from tenantry_operator.drifting import Suspicions
from tenantry_operator.metrics import Metrics
from tenantry_operator.sampling import Sampler

__all__ = ["all_actions"]


def all_actions(*, sampler: Sampler, suspicions: Suspicions, metrics: Metrics) -> tuple[Action, ...]:
    """sampler: what measures the tenants' load. suspicions: whom the look at the whole cell found changed. metrics: for
    what they count."""
    return (
        Deprovision(),
        Expire(),
        Restore(),
        Release(),
        Provision(),
        Scale(sampler),
        Backup(),
        CheckDrift(suspicions, metrics),
    )
