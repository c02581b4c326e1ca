# SPDX-License-Identifier: Apache-2.0

"""Experiment: a member of a load balancer dies, and comes back. Who notices?

Three hosts with an Open vSwitch each; a web server on each of them, and a client on another
network, behind a router that is on every host::

    client - host1 - web1
               |
            tunnels -- host2 - web2
               |
             host3 - web3

The client asks for the load balancer's address a hundred times a second, each time by a connection
of its own. The switch that the client is plugged in to chooses who answers. Meanwhile web2 dies:
its monitor asks once a second, so for that long some of its share is refused; then others have it.
When it is back, so is its share. It prints who has answered, draws it (``--png``), and fails if
somebody is refused once the API says that it is dead, or if shares are not even. How long it may
take until then is said, and measured by ``make bench``: it is longer on a machine that is busy with
something else.
"""

import sys
import time
from collections import Counter

import balanced
import hosts
import stage
import web
from stage import say, until

NETWORK, CLIENTS = ("10.0.0.0/24",), ("10.0.1.0/24",)
WEB = ("web1", "web2", "web3")
DIES = "web2"
PER_SECOND = 100
DELAY, RETRIES = 1, 1  # of the monitor: seconds, and questions
AT_MOST = DELAY * RETRIES + 1  # seconds until a dead member is known, on a quiet machine
AT_ONCE = 0.5  # seconds until what is known is done everywhere
PHASES = ("all are there", f"{DIES} is dead", f"{DIES} is back")
SECONDS = 4.0  # of each, once it is known
EVEN = 0.2  # a share of some hundred connections differs from others' by no more


class Balanced(hosts.Hosts):
    def build(self, neutron, directory):
        self.machines(3, directory, uplinks=0)
        back, subnets = self.network(neutron, "web", "tenant", NETWORK)
        for number, name in enumerate(WEB, 1):
            self.tenant_host(
                *(neutron, name, "tenant", f"host{number}", 10 + number, back, subnets),
                security_groups=neutron.public("tenant"),
            )
        front, others = self.network(neutron, "clients", "tenant", CLIENTS)
        self.tenant_host(neutron, "client", "tenant", "host1", 11, front, others)
        neutron.router("router", "tenant", None, [*subnets, *others])


def main():
    return stage.play(stage.parser(__doc__, png="the answers").parse_args(), experiment)


def experiment(arguments, cleanup):
    directory = stage.enter(cleanup)
    say("building three hosts")
    own = hosts.OwnHost(directory, cleanup)  # from where members are monitored
    tenantry = stage.Tenantry(arguments.tenantry, directory, own.options, cleanup)
    net = stage.build(Balanced(tenantry.neutron, directory), cleanup)
    own.attach()
    hosts.join(net, tenantry)
    services = {name: web.Service(net.get(name), name) for name in WEB}
    for name in WEB:
        cleanup.callback(lambda name=name: services[name].stop())
    say("creating the load balancer")
    ports = [net.get(name).params["neutron_port"] for name in WEB]
    monitor = {"type": "HTTP", "delay": DELAY, "timeout": DELAY}
    monitor |= dict.fromkeys(("max_retries", "max_retries_down"), RETRIES)
    balancer = balanced.create(tenantry, "web", ports, **monitor)

    def known(state):
        """Since when a member is known to be so, or all are: now."""
        wanted = sorted([state, *["ONLINE"] * (len(WEB) - 1)])
        until(
            lambda: sorted(balanced.states(tenantry, balancer)) == wanted,
            lambda: f"members are {' '.join(balanced.states(tenantry, balancer))}",
            tenantry,
        )
        return time.monotonic()

    known("ONLINE")
    client, address = net.get("client"), balancer["vip_address"]
    say(f"asking {address} {PER_SECOND} times a second")
    asking = web.Asker(client, address, balanced.PORT, PER_SECOND)
    moments, noticed = [], []
    for phase in PHASES:
        say(phase)
        moments.append(time.monotonic())
        if phase.endswith("dead"):
            services[DIES].stop()
        elif phase.endswith("back"):
            services[DIES] = web.Service(net.get(DIES), DIES)
        noticed.append(known("ERROR" if phase.endswith("dead") else "ONLINE"))
        time.sleep(SECONDS)
    answers = asking.result()
    picture = {
        "phases": {
            phase: moment - moments[0] for phase, moment in zip(PHASES, moments, strict=True)
        },
        "answers": [(one.asked - moments[0], one.waited, one.name) for one in answers],
    }
    stage.draw(arguments.tenantry, "plot_members.py", arguments.png, picture)
    return judge(answers, moments, noticed)


def judge(answers, moments, noticed):
    """Print who has answered in each phase; the exit status. ``noticed``: when each was known."""
    good, ends = True, [*moments[1:], float("inf")]
    print(f"\n{'':<16}" + "".join(f"{name:>8}" for name in (*WEB, "refused")))
    for phase, begin, end in zip(PHASES, moments, ends, strict=True):
        names = Counter(one.name for one in answers if begin <= one.asked < end)
        print(f"{phase:<16}" + "".join(f"{names[name]:>8}" for name in (*WEB, None)))
    dead = moments[1]
    refused = [one.asked for one in answers if one.name is None]
    wrong = [asked for asked in refused if not dead <= asked < noticed[1] + AT_ONCE]
    print(
        f"\n{len(refused)} of {len(answers)} were refused, the last "
        f"{max(refused, default=dead) - dead:.1f} s after {DIES} died."
    )
    if wrong:
        print(f"NOT as expected: {len(wrong)} of them before it, or when that was known.")
        good = False
    if noticed[1] - dead > AT_MOST:
        print(f"On a quiet machine it is known within {AT_MOST} s: is this one busy?")
    for begin, end in ((moments[0], dead), (noticed[2] + AT_ONCE, float("inf"))):
        names = Counter(one.name for one in answers if begin <= one.asked < end)
        shares = [names[name] / max(1, names.total()) for name in WEB]
        if max(shares) - min(shares) > EVEN:
            told = " ".join(f"{share:.2f}" for share in shares)
            print(f"NOT as expected: the shares of {' '.join(WEB)} were {told}.")
            good = False
    if good:
        print("All as expected.")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
