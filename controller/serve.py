# SPDX-License-Identifier: Apache-2.0

"""From options to a running controller, and ``tenantry serve``.

The only place where the core meets the list of apps. A controller that stops hangs up and leaves
the switches as they are: their flows go on without it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tenantry.apps import APPS
from tenantry.controller import config, log, runtime
from tenantry.controller.api import application, auth
from tenantry.controller.api.core import scheduling
from tenantry.controller.api.core.migration import Migration
from tenantry.controller.api.kind import Kinds
from tenantry.controller.api.tenantry import hosts, operations
from tenantry.controller.api.tenantry.membership import Membership
from tenantry.controller.api.tenantry.observed import Observed
from tenantry.controller.api.tenantry.running import Running
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.feature.effects import DnsQuery, PortMigrated
from tenantry.controller.service import supervisor
from tenantry.controller.service.resolvers import Resolvers
from tenantry.controller.service.service import Service
from tenantry.controller.service.service_port import ServicePort
from tenantry.controller.sockets import certificates, descriptors, http
from tenantry.controller.sockets.listener import Clients, Listener, listen
from tenantry.controller.store import Store, StoreError
from tenantry.controller.switch import channel
from tenantry.controller.switch.hosts import Hosts
from tenantry.controller.switch.own_rows import IntegrationBridge
from tenantry.controller.switch.words import HostReport

LOG = logging.getLogger("tenantry")

SIGNAL_SECONDS = 0.2
"""How long SIGINT and SIGTERM may go unnoticed."""


class CannotServe(Exception):
    """Something outside is not as it must be; the message says what to do."""


class Controller:
    """All the parts, started. Errors while starting: CannotServe, ConfigError."""

    @runtime.collections_paused()
    def __init__(self, conf: cfg.ConfigOpts, apps: Sequence[App] | None = None) -> None:
        apps = APPS if apps is None else apps
        self.parts = parts = check(conf, apps)
        shares = descriptors.shares(descriptors.limit())
        self.failed = False
        """Whether something that must go on does not."""
        self.kinds = kinds = application.kinds(
            [one.extension for one in parts.values() if one.extension],
            physical_mtu=conf.networks.physical_mtu,
            physical_mtus=conf.networks.physical_mtus,
            overlay_ip_version=conf.networks.overlay_ip_version,
            base_mac=conf.networks.base_mac,
        )
        self.store = _open_store(conf.store.url, kinds)
        self.membership = Membership(self.store, kinds)
        remembered = self.membership.joined()
        self.resolvers = Resolvers(config.resolvers(conf.dns.resolvers), shares.questions)
        self.service = Service(
            self.store,
            parts,
            set_mtus=lambda remote, mtus: self.hosts.set_mtus(remote, mtus),
            set_rows=lambda remote, rows: self.hosts.set_rows(remote, rows),
            effects={
                DnsQuery: lambda ask, origin: self.resolvers.ask(
                    ask, origin.packet.port, origin.send
                ),
                PortMigrated: Migration(self.store, kinds).arrived,
            },
            connections_per_port=conf.conntrack.connections_per_port,
            ovsdb_connections=conf.ovsdb.connections,
            remembered={each.connection: each.datapaths for each in remembered},
            awaited=[each.connection for each in remembered if each.awaited and each.datapaths],
            hosts_join=bool(conf.ovsdb.listen),
            integration_bridge=conf.ovsdb.integration_bridge,
            physical_interfaces=conf.networks.physical_interfaces,
            audit_seconds=conf.openflow.audit_interval,
            engine_audit_seconds=conf.openflow.engine_audit_interval,
            coalesce_seconds=conf.openflow.coalesce,
        )
        openflow = config.address(conf.openflow.listen, "[openflow] listen")
        tls = _tls(conf)
        self.channel = channel.start(self.service, shares.switches)
        port = _listening(openflow, lambda: self.channel.listen(*openflow, tls=tls))
        self.openflow = openflow._replace(port=port)
        self._listener = _listen_api(conf)
        self.api_url = f"http://{config.Address(*self._listener.getsockname()[:2])}"
        self.hosts = Hosts(
            self.service.inventory,
            _bridge(conf),
            conf.ovsdb.connections,
            store=self.store.id,
            openflow=(self.openflow.host, self.openflow.port),
            tls=tls,
            most=shares.hosts,
            report=self._reported,
            tunnels={each.host: each.tunnel_address for each in remembered if each.tunnel_address},
        )
        self.joining = _listen_for_hosts(conf, self.hosts)
        running = Running(self.service)
        features = [route for one in parts.values() for route in one.routes]
        seen = {kind: observe for one in parts.values() for kind, observe in one.observed.items()}
        observed = Observed(running, self.hosts, seen)
        self.application = application.application(
            self.store,
            kinds,
            auth.none(conf.api.default_project),
            computed=observed,
            routes=[
                *operations.routes(running, features, shares.clients // 2),
                *scheduling.routes(self.service, kinds, observed),
                *hosts.routes(self.service, self.hosts),
            ],
        )
        self.service_port = ServicePort(
            conf.ovsdb.service_port if self._has_service_port(conf) else "",
            self.service.model,
            [one.endpoint for one in parts.values() if one.endpoint],
            self.resolvers,
            self._renew_service_port,
            shares.guests,
        )
        if conf.ovsdb.service_port and not self._has_service_port(conf):
            self.service_port.state = (
                "guests get no metadata, and no DNS by TCP: they take an Open vSwitch on the "
                "controller's own host ([ovsdb] connections) with an integration_bridge"
            )
        if tls is not None:
            with contextlib.suppress(
                certificates.CertificateError
            ):  # perhaps it is no file of ours
                self.service.certificate_expires = certificates.expires(Path(tls.certificate))
        self.service.service_port_state = lambda: self.service_port.state
        self.service.connected_clients = self._connected_clients
        lasting: list[tuple[str, Callable[[], None]]] = [
            ("the engine", self.service.run),
            ("auditing the engine", self.service.run_audits),
            ("answering guests", self.service.packets.run),
            ("looking for neighbours", self.service.neighbours.run),
            ("limiting connections", self.service.limits.run),
        ]
        if self.service_port.name:
            lasting.append(("following the service port", self.service_port.run))
        for every in (one.periodic for one in parts.values() if one.periodic):
            what = f"sending something every {every.seconds:g} s"
            lasting.append((what, partial(self.service.repeat, every)))
        self._greenlets = [supervisor.keep(what, work, self._fail) for what, work in lasting]
        self._greenlets.append(runtime.spawn(self.membership.look_back, self.hosts.of))
        self.membership.on_forgotten(self.hosts.forget)
        self._clients = Clients("client at", shares.clients, part=1.0)
        self._api = Listener(
            self._listener,
            self._clients,
            http.Http(self.application, keep=lambda: not self._clients.are_many).serve,
            first_words=http.first_words,
        )
        self.hosts.start()

    def stop(self) -> None:
        """Let go of everything; switches keep their flows."""
        for greenlet in self._greenlets:
            greenlet.kill()
        self.hosts.stop()
        self.service_port.close()
        self._api.close()
        channel.stop(self.channel)
        self.store.close()

    def _reported(self, words: HostReport) -> None:
        """A host says something new of itself."""
        self.membership.note(words)
        self.channel.check_hosts()

    def _renew_service_port(self) -> None:
        """The interface is missing although ovs-vswitchd runs: somebody has taken it away."""
        remotes = [self.service.inventory.remote(dpid) or "" for dpid in self.service.connections]
        if any(remote.startswith("unix:") for remote in remotes):
            self.hosts.renew(self.service_port.name)

    @staticmethod
    def _has_service_port(conf: cfg.ConfigOpts) -> bool:
        """It is on this host, if this host is among those that we look after."""
        here = any(remote.startswith("unix:") for remote in conf.ovsdb.connections)
        return bool(here and conf.ovsdb.integration_bridge)

    def _connected_clients(self) -> dict[str, tuple[int, int]]:
        kinds = {
            "switches": self.channel.clients,
            "hosts": self.hosts.clients,
            "guests": self.service_port.clients,
            "clients": self._clients,
        }
        return {kind: (len(clients), clients.most) for kind, clients in kinds.items()}

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
    runtime.freeze_heap(made=len(gc.get_objects()))  # modules, above all
    LOG.info("API at %s, switches at %s", controller.api_url, controller.openflow)
    # A signal does not wake the hub from its sleep, so look now and then.
    while not stop.wait(SIGNAL_SECONDS) and not controller.failed:
        pass
    controller.stop()
    if controller.failed:
        raise CannotServe("a part of the controller fails again and again: see the log above")


def check(conf: cfg.ConfigOpts, apps: Sequence[App] = APPS) -> dict[App, Parts]:
    """What the apps hand in, if nothing is wrong with the options as far as that can be seen
    without opening anything. Errors: ConfigError."""
    try:
        make_url(conf.store.url).get_dialect().import_dbapi()
    except ImportError as missing:
        raise config.ConfigError(
            f"[store] url: such a database needs the Python package {missing.name}; install it "
            "where Tenantry is"
        ) from None
    except ArgumentError:
        raise config.ConfigError(
            "[store] url must be the SQLAlchemy URL of a database, like "
            "sqlite:////var/lib/tenantry/tenantry.db"
        ) from None
    _tls(conf)
    _check_reachable(conf, config.address(conf.openflow.listen, "[openflow] listen"))
    return {app: app.build(conf) for app in apps}


def _open_store(url: str, kinds: Kinds) -> Store:
    parsed = make_url(url)
    try:
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        store = Store(url, kinds)
        store.hold()
        shown = parsed.render_as_string(hide_password=True)
        counts = [f"{len(store.read(kind)):,} {kind}s" for kind in ("network", "port")]
        LOG.info("store %s is open at revision %d: %s", shown, store.head, ", ".join(counts))
        return store
    except OSError as error:
        raise CannotServe(f"[store] url: {error.filename}: {error.strerror}") from error
    except StoreError as error:
        raise CannotServe(f"[store] url: {error}") from error


def _tls(conf: cfg.ConfigOpts) -> channel.Tls | None:
    """TLS for OpenFlow and for ``ssl:`` OVSDB connections, which use the same three files."""
    files = (
        conf.openflow.tls_private_key,
        conf.openflow.tls_certificate,
        conf.openflow.tls_ca_certificates,
    )
    if not any(files):
        return None
    if not all(files):
        raise config.ConfigError(
            "[openflow] TLS needs all of tls_private_key, tls_certificate and tls_ca_certificates"
        )
    for file in files:
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise config.ConfigError(f"[openflow] TLS: {file}: {error.strerror}") from None
    tls = channel.Tls(*files)
    try:
        tls.context()
    except OSError:
        raise config.ConfigError(
            f"[openflow] TLS: {', '.join(files)} are not a private key, a certificate that belongs "
            "to it, and certificates of an authority, in PEM"
        ) from None
    return tls


def _bridge(conf: cfg.ConfigOpts) -> IntegrationBridge | None:
    name = conf.ovsdb.integration_bridge
    if not name:
        return None
    return IntegrationBridge(name, conf.ovsdb.datapath_type, conf.ovsdb.service_port)


def _check_reachable(conf: cfg.ConfigOpts, openflow: config.Address) -> None:
    """Bridges of databases elsewhere must be told where to connect to."""
    elsewhere = not all(remote.startswith("unix:") for remote in conf.ovsdb.connections)
    if conf.ovsdb.integration_bridge and elsewhere and openflow.host in ("0.0.0.0", "::"):
        raise config.ConfigError(
            f"[openflow] listen = {openflow}: bridges on other hosts are told to connect there, so "
            "name an address of this host that they reach; or have the hosts connect to us "
            "([ovsdb] listen)"
        )


def _listen_for_hosts(conf: cfg.ConfigOpts, hosts: Hosts) -> config.Address | None:
    """Where hosts join."""
    if not conf.ovsdb.listen:
        return None
    wanted = config.address(conf.ovsdb.listen, "[ovsdb] listen")
    return wanted._replace(port=_listening(wanted, lambda: hosts.listen(*wanted)))


def _listen_api(conf: cfg.ConfigOpts) -> socket.socket:
    address = config.address(conf.api.listen, "[api] listen")
    listener: socket.socket = _listening(address, lambda: listen(*address))
    return listener


def _listening(address: config.Address, listen: Any) -> Any:
    try:
        return listen()
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        raise CannotServe(
            f"cannot listen at {address}: {error.strerror or error}"
            f"{'; is another controller running?' if taken else '.'} "
            "Name another address in the configuration file"
        ) from error
