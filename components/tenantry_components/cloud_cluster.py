"""The cell's EKS cluster: private, its secrets sealed by a key of ours, its nodes without rights of their own.

The network plugin enforces NetworkPolicy, without which tenants could reach each other.
"""

from __future__ import annotations

import json

import pulumi
from pulumi_aws import cloudwatch, ec2, eks, iam

from tenantry.tenancy.cloud import Cloud
from tenantry_components.cloud_identities import pod_role
from tenantry_components.cloud_network import CloudNetwork
from tenantry_components.cloud_policy import document, service_trust

__all__ = ["CloudCluster"]

_LOGS = ("api", "audit", "authenticator", "controllerManager", "scheduler")
_HTTPS = 443
_MANAGED = "arn:aws:iam::aws:policy"
_ADMINISTRATOR = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
_CSI = ("ebs-csi-controller-sa", f"{_MANAGED}/service-role/AmazonEBSCSIDriverPolicy")
_EFS = ("efs-csi-controller-sa", f"{_MANAGED}/service-role/AmazonEFSCSIDriverPolicy")
_CNI = ("aws-node", f"{_MANAGED}/AmazonEKS_CNI_Policy")


class CloudCluster(pulumi.ComponentResource):
    """cloud: the cell. network: where it stands. keys: ARNs of the keys `cluster`, `volumes` and `logs`.

    Outputs: `name`; `security_group`, which nodes and pods are in; `endpoint`.
    """

    def __init__(
        self,
        name: str,
        cloud: Cloud,
        *,
        network: CloudNetwork,
        keys: dict[str, pulumi.Output[str]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("tenantry:cloud:Cluster", name, None, opts)
        self._cloud = cloud
        self._here = pulumi.ResourceOptions(parent=self)
        cluster = self._cluster(network, keys)
        self.name = cluster.name
        self.endpoint = cluster.endpoint
        self.security_group = cluster.vpc_config.apply(lambda config: config["cluster_security_group_id"])
        self._administrators(cluster)
        addons = self._early_addons(cluster)
        nodes = self._nodes(cluster, network, keys, addons)
        self._late_addons(cluster, nodes, keys)
        self.register_outputs({"name": self.name, "endpoint": self.endpoint, "security_group": self.security_group})

    def _cluster(self, network: CloudNetwork, keys: dict[str, pulumi.Output[str]]) -> eks.Cluster:
        cloud = self._cloud
        logs = cloudwatch.LogGroup(
            "control-plane",
            name=f"/aws/eks/{cloud.prefix}/cluster",
            kms_key_id=keys["logs"],
            retention_in_days=cloud.spec.cluster.log_days,
            tags=cloud.tags("control-plane"),
            opts=self._here,
        )
        role = self._role("cluster", "eks.amazonaws.com", (f"{_MANAGED}/AmazonEKSClusterPolicy",))
        people = [
            ec2.SecurityGroup(
                "administrators",
                name=f"{cloud.prefix}-administrators",
                description="The cluster API, for people and pipelines of private networks",
                vpc_id=network.vpc_id,
                ingress=[
                    ec2.SecurityGroupIngressArgs(
                        description="HTTPS",
                        protocol="tcp",
                        from_port=_HTTPS,
                        to_port=_HTTPS,
                        cidr_blocks=list(cloud.spec.network.admin_cidrs),
                    )
                ],
                egress=[],
                tags=cloud.tags("administrators"),
                opts=self._here,
            ).id
            for _ in cloud.spec.network.admin_cidrs[:1]
        ]
        return eks.Cluster(
            "cluster",
            name=cloud.prefix,
            version=cloud.spec.cluster.version,
            role_arn=role.arn,
            vpc_config=eks.ClusterVpcConfigArgs(
                subnet_ids=network.node_subnets,
                security_group_ids=people,
                endpoint_private_access=True,
                endpoint_public_access=False,
            ),
            encryption_config=eks.ClusterEncryptionConfigArgs(
                provider=eks.ClusterEncryptionConfigProviderArgs(key_arn=keys["cluster"]), resources=["secrets"]
            ),
            enabled_cluster_log_types=list(_LOGS),
            access_config=eks.ClusterAccessConfigArgs(
                authentication_mode="API", bootstrap_cluster_creator_admin_permissions=False
            ),
            # The network plugin comes as an add-on, with its policies switched on, before the first node.
            bootstrap_self_managed_addons=False,
            deletion_protection=True,
            tags=cloud.tags("cluster"),
            opts=pulumi.ResourceOptions(parent=self, protect=True, depends_on=[logs]),
        )

    def _administrators(self, cluster: eks.Cluster) -> None:
        for role in self._cloud.spec.cluster.admin_roles:
            name = f"admin-{role.rpartition('/')[2]}"
            entry = eks.AccessEntry(
                name,
                cluster_name=cluster.name,
                principal_arn=role,
                tags=self._cloud.tags("administrators"),
                opts=self._here,
            )
            eks.AccessPolicyAssociation(
                name,
                cluster_name=cluster.name,
                principal_arn=role,
                policy_arn=_ADMINISTRATOR,
                access_scope=eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                opts=pulumi.ResourceOptions(parent=self, depends_on=[entry]),
            )

    def _early_addons(self, cluster: eks.Cluster) -> list[pulumi.Resource]:
        """What nodes cannot do without."""
        policies = json.dumps({"enableNetworkPolicy": "true", "nodeAgent": {"enablePolicyEventLogs": "true"}})
        return [
            self._addon(cluster, "vpc-cni", identity=_CNI, configuration=policies),
            self._addon(cluster, "kube-proxy"),
            self._addon(cluster, "eks-pod-identity-agent"),
        ]

    def _late_addons(self, cluster: eks.Cluster, nodes: pulumi.Resource, keys: dict[str, pulumi.Output[str]]) -> None:
        """What runs on nodes. The driver of volumes may use the key that seals them."""
        self._addon(cluster, "coredns", after=[nodes])
        self._addon(
            cluster, "aws-ebs-csi-driver", identity=_CSI, policy=keys["volumes"].apply(_volume_key), after=[nodes]
        )
        self._addon(cluster, "aws-efs-csi-driver", identity=_EFS, after=[nodes])

    def _addon(
        self,
        cluster: eks.Cluster,
        addon: str,
        *,
        identity: tuple[str, str] | None = None,
        policy: pulumi.Input[str] | None = None,
        configuration: str | None = None,
        after: list[pulumi.Resource] | None = None,
    ) -> eks.Addon:
        """identity: the add-on's service account, and AWS's policy for its role. policy: what the role may besides."""
        identities = []
        if identity is not None:
            account, attached = identity
            role = pod_role(self._cloud, _ROLES[addon], policy=policy, parent=self)
            iam.RolePolicyAttachment(addon, role=role.name, policy_arn=attached, opts=self._here)
            identities = [eks.AddonPodIdentityAssociationArgs(role_arn=role.arn, service_account=account)]
        return eks.Addon(
            addon,
            cluster_name=cluster.name,
            addon_name=addon,
            configuration_values=configuration,
            pod_identity_associations=identities,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="OVERWRITE",
            tags=self._cloud.tags(addon),
            opts=pulumi.ResourceOptions(parent=self, depends_on=after or []),
        )

    def _nodes(
        self,
        cluster: eks.Cluster,
        network: CloudNetwork,
        keys: dict[str, pulumi.Output[str]],
        after: list[pulumi.Resource],
    ) -> eks.NodeGroup:
        cloud = self._cloud
        role = self._role(
            "nodes",
            "ec2.amazonaws.com",
            (f"{_MANAGED}/AmazonEKSWorkerNodeMinimalPolicy", f"{_MANAGED}/AmazonEC2ContainerRegistryPullOnly"),
        )
        template = ec2.LaunchTemplate(
            "nodes",
            name=f"{cloud.prefix}-nodes",
            update_default_version=True,
            # One hop: a pod that is not on the host's network cannot ask for the node's identity.
            metadata_options=ec2.LaunchTemplateMetadataOptionsArgs(
                http_endpoint="enabled", http_tokens="required", http_put_response_hop_limit=1
            ),
            block_device_mappings=[
                ec2.LaunchTemplateBlockDeviceMappingArgs(
                    device_name="/dev/xvda",
                    ebs=ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
                        encrypted="true",
                        kms_key_id=keys["volumes"],
                        volume_size=cloud.spec.cluster.volume_gib,
                        volume_type="gp3",
                        delete_on_termination="true",
                    ),
                )
            ],
            tag_specifications=[
                ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=cloud.tags("nodes"))
                for kind in ("instance", "volume", "network-interface")
            ],
            tags=cloud.tags("nodes"),
            opts=self._here,
        )
        return eks.NodeGroup(
            "nodes",
            cluster_name=cluster.name,
            node_group_name="nodes",
            node_role_arn=role.arn,
            subnet_ids=network.node_subnets,
            ami_type="AL2023_x86_64_STANDARD",
            instance_types=list(cloud.spec.cluster.instance_types),
            launch_template=eks.NodeGroupLaunchTemplateArgs(id=template.id, version=template.latest_version),
            scaling_config=eks.NodeGroupScalingConfigArgs(
                min_size=cloud.spec.cluster.nodes_min,
                max_size=cloud.spec.cluster.nodes_max,
                desired_size=cloud.spec.cluster.nodes_min,
            ),
            update_config=eks.NodeGroupUpdateConfigArgs(max_unavailable=1),
            tags=cloud.tags("nodes"),
            # How many there are is the autoscaler's.
            opts=pulumi.ResourceOptions(parent=self, depends_on=after, ignore_changes=["scalingConfig.desiredSize"]),
        )

    def _role(self, name: str, service: str, policies: tuple[str, ...]) -> iam.Role:
        cloud = self._cloud
        role = iam.Role(
            name,
            name=f"{cloud.prefix}-{name}",
            # EC2 does not say for which account it asks.
            assume_role_policy=service_trust(
                service, account=None if service.startswith("ec2.") else cloud.spec.account
            ),
            tags=cloud.tags(name),
            opts=self._here,
        )
        for policy in policies:
            iam.RolePolicyAttachment(
                f"{name}-{policy.rpartition('/')[2]}", role=role.name, policy_arn=policy, opts=self._here
            )
        return role


_ROLES = {"vpc-cni": "network", "aws-ebs-csi-driver": "volumes", "aws-efs-csi-driver": "files"}


def _volume_key(key: str) -> str:
    return document(
        {
            "Effect": "Allow",
            "Action": ["kms:CreateGrant"],
            "Resource": key,
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
        },
        {
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"],
            "Resource": key,
        },
    )
