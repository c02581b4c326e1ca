# SPDX-License-Identifier: Apache-2.0

"""From options to a running controller, and ``tenantry serve``.

The only place where the core meets the list of apps. A controller that stops hangs up and leaves
the switches as they are: their flows go on without it.
"""

from __future__ import annotations

import gc
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TypeVar

from oslo_config import cfg

from tenantry.apps import APPS
from tenantry.controller import config, log, preflight, runtime
from tenantry.controller.api import application, auth
from tenantry.controller.api.access import Access
from tenantry.controller.api.auth.own_worker import own_worker
from tenantry.controller.api.core import quota, scheduling, worker
from tenantry.controller.api.core.migration import Migration
from tenantry.controller.api.tenantry import hosts, operations, workers
from tenantry.controller.api.tenantry.membership import Membership
from tenantry.controller.api.tenantry.metrics import Metrics
from tenantry.controller.api.tenantry.observed import Observed
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.api.tenantry.traffic import Traffic
from tenantry.controller.engine.engine import Engine
from tenantry.controller.feature.app import App, stored_records
from tenantry.controller.feature.effects import (
    DnsQuery,
    EffectHandler,
    NeighbourReply,
    PacketOut,
    PortMigrated,
    ResolveNeighbour,
)
from tenantry.controller.feature.probes import Unreachable
from tenantry.controller.model import Change, Model, Option
from tenantry.controller.opening import CannotServe, listen_at, listening, open_store
from tenantry.controller.service import desk, local_worker, supervisor
from tenantry.controller.service.announcements import Announcements, Repeated
from tenantry.controller.service.audit import Audit
from tenantry.controller.service.conntrack_limits import Limits
from tenantry.controller.service.holddown import HoldDown
from tenantry.controller.service.inbox import Inbox
from tenantry.controller.service.interfaces import Interfaces
from tenantry.controller.service.journal import Journal
from tenantry.controller.service.loop import Loop
from tenantry.controller.service.neighbours import Neighbours
from tenantry.controller.service.packet_in import PacketIns
from tenantry.controller.service.prober import Prober, can_ask
from tenantry.controller.service.progress import Progress
from tenantry.controller.service.resolvers import Resolvers
from tenantry.controller.service.service_port import ServicePort
from tenantry.controller.service.start_gate import StartGate
from tenantry.controller.service.status import Status
from tenantry.controller.service.timings import Timings
from tenantry.controller.service.workers import Workers
from tenantry.controller.sockets import descriptors, http
from tenantry.controller.sockets.listener import Clients, Listener
from tenantry.controller.switch import channel
from tenantry.controller.switch.host_report import HostReport
from tenantry.controller.switch.hosts import Hosts
from tenantry.controller.switch.inventory import Inventory

LOG = logging.getLogger("tenantry")

K = TypeVar("K")
V = TypeVar("V")

SIGNAL_SECONDS = 0.2
"""How long SIGINT and SIGTERM may go unnoticed."""


class Controller:
    """All the parts, started; each is given those that it stands on. Errors while starting:
    CannotServe, ConfigError."""

    @runtime.collections_paused()
    def __init__(self, conf: cfg.ConfigOpts, apps: Sequence[App] | None = None) -> None:
        built = preflight.check(conf, APPS if apps is None else apps)
        parts = list(built.values())
        shares = descriptors.shares(descriptors.limit())
        self.failed = False
        """Whether something that must go on does not."""

        # What people asked for, and where we are asked.
        self.kinds = application.kinds(
            [part.extension for part in parts if part.extension],
            physical_mtu=conf.networks.physical_mtu,
            physical_mtus=conf.networks.physical_mtus,
            overlay_ip_version=conf.networks.overlay_ip_version,
            base_mac=conf.networks.base_mac,
            policy_file=conf.oslo_policy.policy_file,
        )
        self.store = open_store(conf.store.url, self.kinds)
        self.membership = Membership(self.store, self.kinds)
        remembered = self.membership.joined()
        tls = preflight.tls(conf)
        for_switches, self.openflow = listen_at(conf.openflow.listen, "[openflow] listen")
        for_clients, at = listen_at(conf.api.listen, "[api] listen")
        api_tls = preflight.api_tls(conf)
        self.api_url = f"{'https' if api_tls else 'http'}://{at}"

        # What is known, and what follows from it.
        self.model = Model()
        per_port = Option("connections_per_port", conf.conntrack.connections_per_port)
        of_features = together([part.flow_options for part in parts], "options")
        records = stored_records(built)
        self.inbox = Inbox(self.store, records, conf.openflow.coalesce)
        options = (per_port, *(Option(*option) for option in of_features.items()))
        self.inbox.submit([Change(Option, option.id, option) for option in options])
        wants = [part.processes for part in parts if part.processes]
        rows = {app.name: part.rows for app, part in built.items() if part.rows}
        rows |= {"workers": desk.rows(wants)} if wants else {}
        self.engine = Engine(self.model, built, rows)
        self.progress = Progress(self.model)
        self.inventory = Inventory(
            conf.ovsdb.connections,
            self.inbox.submit,
            conf.networks.physical_interfaces,
            remembered={each.connection: each.datapaths for each in remembered},
            awaited=[each.connection for each in remembered if each.awaited and each.datapaths],
            hosts_join=bool(conf.ovsdb.listen),
            integration_bridge=conf.ovsdb.integration_bridge,
        )

        # Who talks to switches, hosts and guests.
        hoods = [part.neighbours for part in parts if part.neighbours]
        self.neighbours = Neighbours(self.model, hoods, self.inbox.submit, self.progress.send)
        self.resolvers = Resolvers(config.resolvers(conf.dns.resolvers), shares.questions)
        migration = Migration(self.store, self.kinds)
        core: Mapping[type, EffectHandler] = {
            PacketOut: lambda packet, origin: origin.send(packet),
            Change: lambda change, _: self.inbox.submit([change]),
            DnsQuery: lambda ask, origin: self.resolvers.ask(ask, origin.packet.port, origin.send),
            ResolveNeighbour: lambda seek, origin: self.neighbours.seek(seek, origin.send),
            NeighbourReply: lambda heard, _: self.neighbours.heard(heard),
            PortMigrated: migration.arrived,
            Unreachable: lambda one, _: self.prober.unreachable(one),
        }
        self.packets = PacketIns(
            self.model,
            {app.id: part.packet_in for app, part in built.items() if part.packet_in},
            together([core, *(part.effects for part in parts)], "effects of"),
        )
        self.channel = channel.start(shares.switches)
        self.hosts = Hosts(
            self.inventory,
            preflight.bridge(conf),
            conf.ovsdb.connections,
            store=self.store.id,
            openflow=(self.openflow.host, self.openflow.port),
            tls=tls,
            most=shares.hosts,
            report=partial(_reported, self.membership, self.channel),
            tunnels={each.host: each.tunnel_address for each in remembered if each.tunnel_address},
        )
        self.workers = Workers(
            self.engine,
            wants,
            self.inbox.submit,
            store=self.store.id,
            note=partial(worker.note, self.store),
            renew=partial(_renew_at, self.hosts),
        )
        self.worker_token = secrets.token_hex(16)
        """By which the worker that we start ourselves is known."""
        self.service_port = ServicePort(
            conf.ovsdb.service_port if preflight.has_service_port(conf) else "",
            self.model,
            [part.endpoint for part in parts if part.endpoint],
            self.resolvers,
            partial(_renew, self.hosts, self.inventory, self.progress, conf.ovsdb.service_port),
            shares.guests,
        )
        self.prober = Prober(
            self.model,
            [part.probing for part in parts if part.probing],
            self.inbox.submit,
            interface=self.service_port.name,
            most=shares.probes,
            ready=partial(can_ask, self.model, self.service_port, self.progress),
        )
        if conf.ovsdb.service_port and not self.service_port.name:
            self.service_port.state = (
                "guests get no metadata, and no DNS by TCP: they take an Open vSwitch on the "
                "controller's own host ([ovsdb] connections) with an integration_bridge"
            )

        # The loop, and what runs beside it.
        self.status = Status(self.engine, self.inbox, self.inventory, self.progress)
        self.holddown = HoldDown(self.model, self.inbox.submit, self.progress.holds_its_flows)
        self.limits = Limits(
            self.model, self.inventory, conf.ovsdb.connections, per_port=per_port.value
        )
        self.periodic = [
            Repeated(self.model, self.progress, part.periodic, self.inbox.submit)
            for part in parts
            if part.periodic
        ]
        self.timings = Timings(self.progress)
        self.loop = Loop(
            self.engine,
            self.inbox,
            self.progress,
            StartGate(self.inventory, self.neighbours, self.inbox),
            followers=[
                self.status,
                Interfaces(self.engine, self.inventory, self.hosts),
                self.workers,
                migration,
                self.holddown,
                self.limits,
                Announcements(
                    self.model, self.progress, [part.announce for part in parts if part.announce]
                ),
                Journal(self.model, self.status.port),
                self.prober,
                *self.periodic,
                self.timings,
            ],
            audit_seconds=conf.openflow.audit_interval,
        )
        self.audit = Audit(self.loop, self.inbox, conf.openflow.engine_audit_interval)

        # What is told of it all.
        clients = Clients("client at", shares.clients, part=1.0)
        self.running = Running(
            self.store,
            self.inventory,
            self.progress,
            self.status,
            self.loop,
            self.audit,
            self.packets,
            self.service_port,
            self.workers,
            self.prober,
            clients={
                "switches": self.channel.clients,
                "hosts": self.hosts.clients,
                "guests": self.service_port.clients,
                "clients": clients,
            },
            certificate_expires=partial(preflight.expires, conf.openflow.tls_certificate),
            api={
                "auth_type": conf.api.auth_type,
                "tls": api_tls is not None,
                "loopback": at.is_loopback,
            },
            api_expires=partial(preflight.expires, conf.api.tls_certificate),
        )
        self.store.subscribe(self.timings.committed)
        carried = (conf.metrics.traffic, conf.metrics.most_ports, conf.metrics.kept)
        traffic = Traffic(self.running, *carried)
        self.metrics = Metrics(self.running, traffic, self.timings.registry)
        observed = Observed(self.running, self.hosts, [part.observed for part in parts])
        features = [route for part in parts for route in part.routes]
        self.application = application.application(
            self.store,
            self.kinds,
            own_worker(self.worker_token, auth.door(conf)),
            computed=observed,
            quotas=quota.defaults(conf, self.kinds.values()),
            routes=[
                *operations.routes(self.running, features, Access(self.kinds), shares.clients // 2),
                *scheduling.routes(self.store, self.model, self.kinds, observed),
                *hosts.routes(self.running, self.hosts, self.kinds.policy),
                *workers.routes(self.running, self.kinds.policy),
                *self.metrics.routes(Access(self.kinds)),
            ],
        )
        self.application.answered = self.timings.answered

        # From here on, everybody may come.
        self._greenlets = [
            *(supervisor.keep(what, work, self._fail) for what, work in self._lasting()),
            runtime.spawn(self.membership.look_back, self.hosts.of),
        ]
        self.membership.on_forgotten(self.hosts.forget)
        observer = channel.Observer(
            self.loop.connected,
            self.loop.disconnected,
            self.inventory.ports,
            self.inventory.port,
            self.packets.receive,
            self.inventory.host_of,
        )
        self.channel.serve(for_switches, observer, tls)
        self.joining = _listen_for_hosts(conf, self.hosts)
        self._api = Listener(
            for_clients,
            clients,
            http.Http(self.application, keep=lambda: not clients.are_many).serve,
            tls=api_tls.context if api_tls else None,
            first_words=None if api_tls else http.first_words,
        )
        self.hosts.start()

    def _lasting(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What goes on for as long as the process lives."""
        yield "the engine", self.loop.run
        yield "auditing the engine", self.audit.run
        yield "answering guests", self.packets.run
        yield "looking for neighbours", self.neighbours.run
        yield "limiting connections", self.limits.run
        yield "looking who of the workers is there", self.workers.run
        yield "asking who is alive", self.prober.run
        if self.service_port.name:
            yield "following the service port", self.service_port.run
        for periodic in self.periodic:
            yield f"what is due every {periodic.every.seconds:g} s", periodic.run

    def stop(self) -> None:
        """Let go of everything; switches keep their flows."""
        for greenlet in self._greenlets:
            greenlet.kill()
        self.hosts.stop()
        self.service_port.close()
        self._api.close()
        channel.stop(self.channel)
        self.store.close()

    def _fail(self) -> None:
        self.failed = True


def serve(conf: cfg.ConfigOpts, *, verbose: bool = False) -> None:
    """Run until SIGINT or SIGTERM. Errors: CannotServe, ConfigError."""
    log.configure(verbose)
    descriptors.raise_limit()
    os.umask(0o077)  # what tenants are called and do is nobody else's business on this host
    stop = runtime.Signal()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    controller = Controller(conf)
    own = local_worker.of(
        conf, controller.api_url, controller.hosts, controller.worker_token, controller.store.id
    )
    runtime.freeze_heap(made=len(gc.get_objects()))  # modules, above all
    LOG.info("API at %s, switches at %s", controller.api_url, controller.openflow)
    if conf.api.auth_type == "none" and not controller.running.api["loopback"]:
        LOG.warning("[api] auth_type = none: whoever reaches the API is its administrator")
    # A signal does not wake the hub from its sleep, so look now and then.
    while not stop.wait(SIGNAL_SECONDS) and not controller.failed:
        pass
    if own is not None:
        own.stop()
    controller.stop()
    if controller.failed:
        raise CannotServe("a part of the controller fails again and again: see the log above")


def together(several: Iterable[Mapping[K, V]], what: str) -> dict[K, V]:
    """What features and the core have of something, each of its own. Errors: ValueError, if two
    have the same."""
    found: dict[K, V] = {}
    for some in several:
        if again := found.keys() & some.keys():
            raise ValueError(f"two have {what} {', '.join(map(str, again))}")
        found |= some
    return found


def _reported(membership: Membership, switches: channel.Channel, words: HostReport) -> None:
    """A host says something new of itself."""
    membership.note(words)
    switches.check_hosts()


def _renew(hosts: Hosts, inventory: Inventory, progress: Progress, interface: str) -> None:
    """An interface is missing although ovs-vswitchd runs: somebody has taken it away."""
    remotes = [inventory.remote(dpid) or "" for dpid in progress.connections]
    if any(remote.startswith("unix:") for remote in remotes):
        hosts.renew(interface)


def _renew_at(hosts: Hosts, host: str, interface: str) -> None:
    """An interface of ours is missing on a host, as its worker says."""
    database = hosts.of(host)
    if database is not None:
        database.renew(interface)


def _listen_for_hosts(conf: cfg.ConfigOpts, hosts: Hosts) -> config.Address | None:
    """Where hosts join."""
    if not conf.ovsdb.listen:
        return None
    wanted = config.address(conf.ovsdb.listen, "[ovsdb] listen")
    return wanted._replace(port=listening(wanted, lambda: hosts.listen(*wanted)))
