"""The features, one folder each. This list is the only place that names them all.

In pipeline order, for the reader; flows do not depend on the order. An app's id is permanent.
"""

from apps.arp_nd import ARP_ND
from apps.dhcp import DHCP
from apps.dns import DNS
from apps.firewall import FIREWALL
from apps.l2 import L2
from apps.metadata import METADATA
from apps.nat import NAT
from apps.network_log import NETWORK_LOG
from apps.overlay import OVERLAY
from apps.port_security import PORT_SECURITY
from apps.provider import PROVIDER
from apps.punt import PUNT
from apps.routing import ROUTING
from apps.security_groups import SECURITY_GROUPS
from apps.service_port import SERVICE_PORT
from apps.trunk import TRUNK
from controller.app import PIPELINE, App

APPS: tuple[App, ...] = (
    PIPELINE,
    L2,
    PROVIDER,
    OVERLAY,
    TRUNK,
    PORT_SECURITY,
    PUNT,
    DHCP,
    DNS,
    METADATA,
    SECURITY_GROUPS,
    ARP_ND,
    SERVICE_PORT,
    ROUTING,
    FIREWALL,
    NAT,
    NETWORK_LOG,
)
