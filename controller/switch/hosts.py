# SPDX-License-Identifier: Apache-2.0

"""The hosts: every OVSDB that we connect to, and every one that connects to us.

A host joins by ``ovs-vsctl set-manager``: its OVSDB connects here, says who it is, gets the
integration bridge, and is followed from then on (``host.py``). One that goes is expected back.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tenantry.controller import runtime
from tenantry.controller.config.values import is_address
from tenantry.controller.feature.ovsdb_rows import Plugged, Row
from tenantry.controller.sockets.listener import Clients, Listener, listen
from tenantry.controller.sockets.reader import Reader, Unwelcome, unmapped
from tenantry.controller.sockets.tls import ServerTls
from tenantry.controller.switch import ovsdb
from tenantry.controller.switch.host import RETRY_SECONDS, HostConnection
from tenantry.controller.switch.host_report import JOINED, HostReport
from tenantry.controller.switch.inventory import Inventory
from tenantry.controller.switch.ovsdb_replica import DATABASE, OvsdbError, Replica, Unreachable
from tenantry.controller.switch.ovsdb_tables import Tables
from tenantry.controller.switch.own_rows import IntegrationBridge

LOG = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0

SECONDS_TO_ANSWER = 1.0
"""For a host that seems to be here when another says that it is that host."""

PORT = 6640  # IANA's for OVSDB


class Hosts:
    """All of them, by ``remote``: a configured connection, or ``joined:HOST``."""

    def __init__(
        self,
        inventory: Inventory,
        bridge: IntegrationBridge | None,
        remotes: Iterable[str],
        *,
        store: str,
        openflow: tuple[str, int],
        tls: ServerTls | None,
        most: int,
        report: Callable[[HostReport], None],
        tunnels: Mapping[str, str] | None = None,
    ) -> None:
        """``store``: the identity of ours. ``openflow``: where we listen for bridges. ``most``
        hosts may be joined at a time.
        ``tunnels``: where those of hosts that have joined before end, by host."""
        self._inventory = inventory
        self._bridge = bridge
        self._store = store
        self._openflow_host, self._openflow_port = openflow
        self._tls = tls
        self._report = report
        self.clients = Clients("host at", most)
        self._listener: Listener | None = None
        self._port = 0  # where we listen
        self._greenlets: list[Any] = []
        self._tunnels = dict(tunnels or {})
        self._joined_by: dict[str, Replica] = {}  # the connection that each host has come by
        self.databases = {remote: self._database(remote) for remote in remotes}

    def _database(self, remote: str) -> HostConnection:
        return HostConnection(remote, self._inventory, self._bridge, self._store, self._reported)

    def _reported(self, words: HostReport) -> None:
        self._report(words)
        if words.remote.startswith(JOINED) and words.tunnel_address:
            self._tunnels[words.host] = words.tunnel_address
            for remote, database in self.databases.items():
                if remote.startswith("unix:"):
                    database.found_at(self._own_address())

    def _own_address(self) -> str:
        """Where tunnels to our own host lead, if it does not say: to where it would send from to
        others. "" while there are none."""
        found = (address_towards(end) for _, end in sorted(self._tunnels.items()))
        return next(filter(None, found), "")

    def start(self) -> None:
        self._greenlets += [
            runtime.spawn(self._keep_connected, database) for database in self.databases.values()
        ]

    def listen(self, host: str, port: int) -> int:
        """Accept hosts from now on; the port, which the system chooses if ``port`` is 0.
        Errors: OSError if the address is taken or not ours."""
        listening = listen(host, port)
        given = self._tls.context if self._tls else None
        self._listener = Listener(listening, self.clients, self._serve, given)
        self._port = int(listening.getsockname()[1])
        return self._port

    def stop(self) -> None:
        for greenlet in self._greenlets:
            greenlet.kill()
        if self._listener is not None:
            self._listener.close()
        for database in self.databases.values():
            if database.replica is not None:
                database.replica.close()

    def of(self, host: str) -> HostConnection | None:
        """The OVSDB of a host, if it was ever heard of."""
        return next((d for d in self.databases.values() if d.host == host), None)

    def set_plugged(self, remote: str, wanted: Mapping[str, Plugged]) -> None:
        if remote in self.databases:
            self.databases[remote].set_plugged(wanted)

    def set_rows(self, remote: str, rows: frozenset[Row]) -> None:
        if remote in self.databases:
            self.databases[remote].set_rows(rows)

    def renew(self, interface: str) -> None:
        """An interface of ours on this host is gone, though its OVSDB says that it is there."""
        for remote, database in self.databases.items():
            if remote.startswith("unix:"):
                database.renew(interface)

    def remove(self, host: str) -> bool:
        """Take what is ours out of a host's OVSDB, and forget the host; whether it could be told.
        Errors: OvsdbError."""
        told = False
        for remote, database in list(self.databases.items()):
            if database.host == host:
                told = database.remove(self._port) or told
                if remote.startswith(JOINED) and database.replica is not None:
                    database.replica.close()
        self._forget(host)
        LOG.info(
            "host %s is removed%s", host, ": its Open vSwitch is its own again" if told else ""
        )
        return told

    def forget(self, host: str) -> None:
        """A host that is not here is expected no more; one that is says again what it is."""
        database = self.of(host)
        if database is not None and database.alive:
            database.say_again()
        else:
            self._forget(host)

    def _forget(self, host: str) -> None:
        self.databases.pop(JOINED + host, None)
        self._joined_by.pop(JOINED + host, None)
        self._tunnels.pop(host, None)
        self._inventory.forget(host)

    # --- those that we connect to ------------------------------------------------------------

    def _keep_connected(self, database: HostConnection) -> None:
        """Connect, follow, and start again when that fails."""
        told = ""
        own = database.remote.startswith("unix:")
        local = socket.gethostname() if own else ""
        while True:
            try:
                with connected(database.remote, self._tls) as replica:
                    address = self._own_address() if own else _host_of(database.remote)
                    tables = Tables(replica, database.datapath_ids)
                    name = "" if _name_of(tables.said()) else local
                    database.follow(tables, name, address, self._target("127.0.0.1"))
                told = ""
                LOG.info("OVSDB %s is lost", database.remote)
            except Unreachable as error:
                reason = f"OVSDB {database.remote} is out of reach ({error}): is it running there?"
                if reason != told:
                    LOG.warning("%s Trying again every %g s", reason, RETRY_SECONDS)
                told = reason
            except OvsdbError as error:
                if str(error) != told:
                    LOG.warning("%s: %s; trying again", database.remote, error)
                told = str(error)
            except Exception:
                LOG.exception("following OVSDB %s failed; starting again", database.remote)
            runtime.sleep(RETRY_SECONDS)

    def _target(self, local: str) -> str:
        """Where a bridge is to connect: to the address where we listen, or, if that is all of
        ours, to the one by which its host has reached us."""
        host = self._openflow_host
        if host in ("0.0.0.0", "::"):
            host = local
        shown = f"[{host}]" if ":" in host else host
        return f"{'ssl' if self._tls else 'tcp'}:{shown}:{self._openflow_port}"

    # --- those that connect to us ------------------------------------------------------------

    def _serve(self, reader: Reader) -> None:
        local = unmapped(reader.stream.getsockname()[0])
        if reader.common_name:
            reader.named()
        replica = Replica(reader)
        try:
            name = reader.common_name or _says_its_name(replica)
            if not name:
                raise OvsdbError(
                    "it has no name: run `ovs-vsctl set Open_vSwitch . external_ids:hostname=NAME`"
                )
            reader.named()
            self._joined(name, replica, reader.address, local)
        except OvsdbError as error:
            raise Unwelcome(str(error)) from error
        finally:
            replica.stop()

    def _joined(self, name: str, replica: Replica, address: str, local: str) -> None:
        remote = JOINED + name
        before = self._joined_by.get(remote)
        if before is not None and before.alive:
            if before.answers(SECONDS_TO_ANSWER):
                raise OvsdbError(f"another host called {name} is here: give it another name")
            before.close()
        self._joined_by[remote] = replica
        database = self.databases.setdefault(remote, self._database(remote))
        tables = Tables(replica, database.datapath_ids)
        LOG.info("host %s joined from %s", name, address)
        try:
            ovsdb.find_us_soon(tables, self._port)
            database.follow(tables, name, address, self._target(local))
        finally:
            LOG.info("host %s is gone", name)
            if self.databases.get(remote) is database and database.is_stranger(replica):
                self._forget(name)


@contextlib.contextmanager
def connected(remote: str, tls: ServerTls | None = None) -> Iterator[Replica]:
    """The OVSDB at ``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``, for as long as the block
    runs. Errors: Unreachable."""
    stream = _connect(remote, tls)
    replica = Replica(Reader(stream))
    try:
        yield replica
    finally:
        replica.stop()
        stream.close()


def _connect(remote: str, tls: ServerTls | None) -> Any:
    scheme, _, where = remote.partition(":")
    try:
        with runtime.Timeout(CONNECT_SECONDS, TimeoutError("no answer")):
            if scheme == "unix":
                stream = socket.socket(socket.AF_UNIX)
                stream.connect(where)
                return stream
            host, _, port = where.rpartition(":") if ":" in where else (where, "", "")
            stream = socket.create_connection((host.strip("[]"), int(port or PORT)))
            return _context(tls).wrap_socket(stream) if scheme == "ssl" else stream
    except (OSError, ValueError) as error:
        raise Unreachable(str(error)) from error


def _context(tls: ServerTls | None) -> ssl.SSLContext:
    """Open vSwitch knows no names in certificates: whoever has one of our CA's is trusted."""
    if tls is None:
        raise ValueError("ssl: needs [openflow] tls_private_key and its companions")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = False
    context.load_cert_chain(tls.certificate, tls.private_key)
    context.load_verify_locations(tls.ca_certificates)
    return context


def _says_its_name(replica: Replica) -> str:
    """What a host says before anything else is asked of it."""
    select = {"op": "select", "table": DATABASE, "where": [], "columns": ["external_ids"]}
    (found,) = replica.ask("transact", [DATABASE, select])
    return _name_of(dict(found["rows"][0]["external_ids"][1])) if found["rows"] else ""


def _name_of(said: Mapping[str, str]) -> str:
    return str(said.get("hostname") or said.get("system-id") or "")


def _host_of(remote: str) -> str:
    """The address in a remote, if there is one."""
    scheme, _, where = remote.partition(":")
    host = where.rpartition(":")[0].strip("[]") if scheme in ("tcp", "ssl") else ""
    return host if is_address(host) else ""


def address_towards(there: str) -> str:
    """The address from which this machine sends to another; "" if it cannot, or is that one."""
    family = socket.AF_INET6 if ":" in there else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking, contextlib.suppress(OSError):
        asking.connect((there, 9))  # which looks for the route, and sends nothing
        here = str(asking.getsockname()[0])
        return "" if here == there else here
    return ""
