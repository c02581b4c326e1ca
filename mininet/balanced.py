# SPDX-License-Identifier: Apache-2.0

"""Load balancers for topologies here: made by one request, and asked who answers."""

from collections import Counter

import web
from stage import say, until

PORT, QUESTIONS = 80, 120
OF_RED = ("red1", "red2", "red3"), ("red4", "red1"), "blue1"
"""Members of the demo's load balancer, who asks it, and somebody of another tenant."""
LEAST = 0.5  # of an even share: what each member has of so few questions


def create(tenantry, name, ports, **monitor):
    """A load balancer of the web services of these ports, on the network of the first. ``monitor``:
    what its health monitor is to be, if it is to have one."""
    addresses = [next(ip for ip in port["fixed_ips"] if "." in ip["ip_address"]) for port in ports]
    members = [
        {"name": port["name"], "address": ip["ip_address"], "protocol_port": web.PORT}
        for port, ip in zip(ports, addresses, strict=True)
    ]
    pool = {"name": name, "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": members}
    if monitor:
        pool["healthmonitor"] = monitor
    wanted = {
        "name": name,
        "project_id": ports[0]["project_id"],
        "vip_subnet_id": addresses[0]["subnet_id"],
        "listeners": [
            {"name": name, "protocol": "TCP", "protocol_port": PORT, "default_pool": pool}
        ],
    }
    made = ask(tenantry, "POST", "loadbalancers", {"loadbalancer": wanted})["loadbalancer"]

    def status():
        found = ask(tenantry, "GET", f"loadbalancers/{made['id']}")["loadbalancer"]
        return found["provisioning_status"]

    until(lambda: status() == "ACTIVE", lambda: f"{name} is {status()}", tenantry)
    return made


def states(tenantry, balancer):
    """What is known of each member."""
    tree = ask(tenantry, "GET", f"loadbalancers/{balancer['id']}/status")["statuses"]
    (listener,) = tree["loadbalancer"]["listeners"]
    return [m["operating_status"] for pool in listener["pools"] for m in pool["members"]]


def ask(tenantry, method, path, body=None):
    return tenantry.neutron.request(method, f"load-balancer/v2.0/lbaas/{path}", body)


def show(net, tenantry, members, clients, stranger, cleanup):
    """Balance a web service over some hosts, ask it from others, and from one of another tenant who
    must get no answer; print who answered. Whether all that is as it should be, and the address.
    """
    say(f"balancing a web service over {', '.join(members)}")
    for name in members:
        cleanup.callback(web.Service(net.get(name), name).stop)
    balancer = create(tenantry, "web", [net.get(m).params["neutron_port"] for m in members])
    address, good = balancer["vip_address"], True
    print(f"\nload balancer web, {address}:{PORT}")
    for name in clients:
        answers = web.asked(net.get(name), address, PORT, QUESTIONS)
        shares = Counter(answers)
        told = ", ".join(f"{member or 'nobody'} {count}" for member, count in shares.most_common())
        print(f"  {QUESTIONS} connections from {name}: {told}")
        counts, even = [shares[member] for member in members], QUESTIONS / len(members)
        good &= sum(counts) == QUESTIONS and min(counts) >= LEAST * even
    (answer,) = web.asked(net.get(stranger), address, PORT, 1)
    print(f"  from {stranger}, of another tenant: {answer or 'nobody answers'}\n")
    return good and answer is None, address
