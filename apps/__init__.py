# SPDX-License-Identifier: Apache-2.0

"""The features, one folder each. This list is the only place that names them all.

In pipeline order, for the reader; flows do not depend on the order. An app's id is permanent.
"""

from tenantry.apps.arp_nd import ARP_ND
from tenantry.apps.certificates import CERTIFICATES
from tenantry.apps.counters import COUNTERS
from tenantry.apps.dhcp import DHCP
from tenantry.apps.dns import DNS
from tenantry.apps.drops import DROPS
from tenantry.apps.firewall import FIREWALL
from tenantry.apps.flavors import FLAVORS
from tenantry.apps.flow_export import FLOW_EXPORT
from tenantry.apps.haproxy import HAPROXY
from tenantry.apps.health import HEALTH
from tenantry.apps.l2 import L2
from tenantry.apps.load_balancer import LOAD_BALANCER
from tenantry.apps.local_ip import LOCAL_IP
from tenantry.apps.metadata import METADATA
from tenantry.apps.metering import METERING
from tenantry.apps.multicast import MULTICAST
from tenantry.apps.nat import NAT
from tenantry.apps.network_log import NETWORK_LOG
from tenantry.apps.overlay import OVERLAY
from tenantry.apps.port_security import PORT_SECURITY
from tenantry.apps.provider import PROVIDER
from tenantry.apps.punt import PUNT
from tenantry.apps.pvlan import PVLAN
from tenantry.apps.qos import QOS
from tenantry.apps.routing import ROUTING
from tenantry.apps.security_groups import SECURITY_GROUPS
from tenantry.apps.service_port import SERVICE_PORT
from tenantry.apps.tap import TAP
from tenantry.apps.trunk import TRUNK
from tenantry.controller.feature.app import PIPELINE, App

APPS: tuple[App, ...] = (
    PIPELINE,
    L2,
    MULTICAST,
    PROVIDER,
    OVERLAY,
    TRUNK,
    PORT_SECURITY,
    PUNT,
    DHCP,
    DNS,
    METADATA,
    LOCAL_IP,
    LOAD_BALANCER,
    CERTIFICATES,
    HAPROXY,
    SECURITY_GROUPS,
    ARP_ND,
    SERVICE_PORT,
    HEALTH,
    FLAVORS,
    ROUTING,
    METERING,
    FIREWALL,
    NAT,
    PVLAN,
    QOS,
    NETWORK_LOG,
    DROPS,
    COUNTERS,
    FLOW_EXPORT,
    TAP,
)
