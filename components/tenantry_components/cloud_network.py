"""The cell's network: a VPC over three zones, whose nodes and servers have no public address.

Three layers a zone: `public` holds NAT gateways and the load balancer of the ingress controller and nothing of ours
that computes; `nodes` goes out by NAT; `data` has no way out at all. AWS's own services are reached by endpoints
inside the VPC.
"""

from __future__ import annotations

import ipaddress

import pulumi
from pulumi_aws import cloudwatch, ec2, iam

from tenantry.tenancy.cloud import ZONES, Cloud
from tenantry_components.cloud_policy import allow, document, service_trust

__all__ = ["CloudNetwork", "Layers", "data_range", "layers"]

_ENDPOINTS = (
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticache",
    "elasticloadbalancing",
    "kms",
    "logs",
    "secretsmanager",
    "sts",
)
_HTTPS = 443

Layers = dict[str, tuple[str, ...]]


def layers(cidr: str) -> Layers:
    """Address ranges by layer, one a zone: of eight equal parts of the VPC three are for nodes; the eighth holds the
    other two layers, and the fourth to seventh stay free for growth."""
    eighths = list(ipaddress.IPv4Network(cidr).subnets(prefixlen_diff=3))
    data, public = eighths[7].subnets(prefixlen_diff=1)
    return {
        "nodes": tuple(str(one) for one in eighths[:ZONES]),
        "data": tuple(str(one) for one in list(data.subnets(prefixlen_diff=2))[:ZONES]),
        "public": tuple(str(one) for one in list(public.subnets(prefixlen_diff=2))[:ZONES]),
    }


def data_range(cidr: str) -> str:
    """One range that holds the data layer's addresses of all zones, and no others."""
    return str(ipaddress.IPv4Network(layers(cidr)["data"][0]).supernet(prefixlen_diff=2))


class CloudNetwork(pulumi.ComponentResource):
    """cloud: the cell. log_key: ARN of the key for the flow log.

    Outputs: `vpc_id`; `node_subnets` and `data_subnets`, ids by zone; `data_range`, the addresses of all servers.
    """

    def __init__(
        self, name: str, cloud: Cloud, *, log_key: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantry:cloud:Network", name, None, opts)
        self._cloud = cloud
        self._here = pulumi.ResourceOptions(parent=self)
        vpc = ec2.Vpc(
            "vpc",
            cidr_block=cloud.spec.network.cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=cloud.tags("vpc"),
            opts=self._here,
        )
        self.vpc_id = vpc.id
        # AWS makes one that lets its members talk to each other; nothing uses it, and now nothing can.
        ec2.DefaultSecurityGroup(
            "closed", vpc_id=vpc.id, ingress=[], egress=[], tags=cloud.tags("closed"), opts=self._here
        )
        self._flow_log(log_key)
        subnets, tables = self._subnets()
        self.node_subnets = [subnet.id for subnet in subnets["nodes"]]
        self.data_subnets = [subnet.id for subnet in subnets["data"]]
        self.data_range = data_range(cloud.spec.network.cidr)
        self._endpoints(tables)
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "node_subnets": self.node_subnets,
                "data_subnets": self.data_subnets,
                "data_range": self.data_range,
            }
        )

    def _subnets(self) -> tuple[dict[str, list[ec2.Subnet]], list[ec2.RouteTable]]:
        """The subnets by layer, and the route tables of those that have no public address."""
        cloud = self._cloud
        gateway = ec2.InternetGateway("internet", vpc_id=self.vpc_id, tags=cloud.tags("internet"), opts=self._here)
        subnets: dict[str, list[ec2.Subnet]] = {"public": [], "nodes": [], "data": []}
        private: list[ec2.RouteTable] = []
        role = {"public": "kubernetes.io/role/elb", "nodes": "kubernetes.io/role/internal-elb"}
        ranges = layers(cloud.spec.network.cidr)
        nat: dict[str, ec2.NatGateway] = {}
        for layer in subnets:
            for zone, cidr in zip(cloud.zones, ranges[layer], strict=True):
                name = f"{layer}-{zone[-1]}"
                tags = cloud.tags(name) | ({role[layer]: "1"} if layer in role else {})
                subnet = ec2.Subnet(
                    name,
                    vpc_id=self.vpc_id,
                    availability_zone=zone,
                    cidr_block=cidr,
                    map_public_ip_on_launch=False,
                    tags=tags,
                    opts=self._here,
                )
                subnets[layer].append(subnet)
                table = ec2.RouteTable(name, vpc_id=self.vpc_id, tags=tags, opts=self._here)
                ec2.RouteTableAssociation(name, subnet_id=subnet.id, route_table_id=table.id, opts=self._here)
                if layer == "public":
                    nat[zone] = self._nat(zone, subnet, gateway)
                    self._route(name, table, gateway_id=gateway.id)
                else:
                    private.append(table)
                if layer == "nodes":
                    self._route(name, table, nat_gateway_id=nat[zone].id)
        return subnets, private

    def _route(self, name: str, table: ec2.RouteTable, **by: pulumi.Input[str]) -> None:
        ec2.Route(name, route_table_id=table.id, destination_cidr_block="0.0.0.0/0", opts=self._here, **by)

    def _nat(self, zone: str, subnet: ec2.Subnet, gateway: ec2.InternetGateway) -> ec2.NatGateway:
        name = f"nat-{zone[-1]}"
        address = ec2.Eip(name, domain="vpc", tags=self._cloud.tags(name), opts=self._here)
        return ec2.NatGateway(
            name,
            subnet_id=subnet.id,
            allocation_id=address.id,
            tags=self._cloud.tags(name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[gateway]),
        )

    def _endpoints(self, tables: list[ec2.RouteTable]) -> None:
        cloud = self._cloud
        region = cloud.spec.region
        ec2.VpcEndpoint(
            "s3",
            vpc_id=self.vpc_id,
            vpc_endpoint_type="Gateway",
            service_name=f"com.amazonaws.{region}.s3",
            route_table_ids=[table.id for table in tables],
            tags=cloud.tags("endpoint-s3"),
            opts=self._here,
        )
        group = ec2.SecurityGroup(
            "endpoints",
            name=f"{cloud.prefix}-endpoints",
            description="AWS services, for the nodes of the cell",
            vpc_id=self.vpc_id,
            ingress=[
                ec2.SecurityGroupIngressArgs(
                    description="HTTPS from the nodes",
                    protocol="tcp",
                    from_port=_HTTPS,
                    to_port=_HTTPS,
                    cidr_blocks=list(layers(cloud.spec.network.cidr)["nodes"]),
                )
            ],
            egress=[],
            tags=cloud.tags("endpoints"),
            opts=self._here,
        )
        for service in _ENDPOINTS:
            ec2.VpcEndpoint(
                service,
                vpc_id=self.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{region}.{service}",
                subnet_ids=self.node_subnets,
                security_group_ids=[group.id],
                private_dns_enabled=True,
                tags=cloud.tags(f"endpoint-{service}"),
                opts=self._here,
            )

    def _flow_log(self, key: pulumi.Input[str]) -> None:
        """Who talked to whom, kept as long as the cluster's own log."""
        cloud = self._cloud
        name = f"{cloud.prefix}-flow-log"
        group = cloudwatch.LogGroup(
            "flow-log",
            name=f"/tenantry/{cloud.metadata.name}/flow-log",
            kms_key_id=key,
            retention_in_days=cloud.spec.cluster.log_days,
            tags=cloud.tags("flow-log"),
            opts=self._here,
        )
        role = iam.Role(
            "flow-log",
            name=name,
            assume_role_policy=service_trust("vpc-flow-logs.amazonaws.com", account=cloud.spec.account),
            tags=cloud.tags("flow-log"),
            opts=self._here,
        )
        log = (
            f"arn:aws:logs:{cloud.spec.region}:{cloud.spec.account}:log-group:/tenantry/{cloud.metadata.name}/flow-log"
        )
        iam.RolePolicy(
            "flow-log",
            name="write",
            role=role.name,
            policy=document(
                allow(("logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"), f"{log}:*")
            ),
            opts=self._here,
        )
        ec2.FlowLog(
            "flow-log",
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=cloud.tags("flow-log"),
            opts=self._here,
        )
