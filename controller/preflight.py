# SPDX-License-Identifier: Apache-2.0

"""What is made of the options before anything is opened, and what is wrong with them as far as that
can be seen by then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from oslo_config import cfg
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from tenantry.controller import config
from tenantry.controller.config import accounts
from tenantry.controller.feature.app import App, Parts
from tenantry.controller.sockets import certificates
from tenantry.controller.sockets.tls import ServerTls
from tenantry.controller.switch.own_rows import IntegrationBridge


def check(conf: cfg.ConfigOpts, apps: Iterable[App]) -> dict[App, Parts]:
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
    tls(conf)
    api_tls(conf)
    _check_door(conf)
    _check_reachable(conf, config.address(conf.openflow.listen, "[openflow] listen"))
    return {app: app.build(conf) for app in apps}


def tls(conf: cfg.ConfigOpts) -> ServerTls | None:
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
    private_key, certificate, authorities = files
    found = ServerTls(certificate, private_key, authorities)
    try:
        found.context()
    except OSError as error:
        raise config.ConfigError(f"[openflow] TLS: {error}") from None
    return found


def api_tls(conf: cfg.ConfigOpts) -> ServerTls | None:
    """TLS for the API, if it is wanted."""
    api = conf.api
    if not (api.tls_certificate or api.tls_private_key or api.tls_ca_certificates):
        return None
    if not (api.tls_certificate and api.tls_private_key):
        raise config.ConfigError("[api] TLS needs both of tls_certificate and tls_private_key")
    found = ServerTls(api.tls_certificate, api.tls_private_key, api.tls_ca_certificates)
    try:
        found.context()
    except OSError as error:
        raise config.ConfigError(f"[api] TLS: {error}") from None
    return found


def _check_door(conf: cfg.ConfigOpts) -> None:
    """Whether anybody could enter."""
    if conf.api.auth_type == "basic" and not accounts.read(Path(conf.api.accounts)):
        raise config.ConfigError(
            f"[api] auth_type = basic, but {conf.api.accounts} has no accounts: make the first one "
            "with `tenantry account add NAME --project PROJECT --role admin`"
        )
    keystone = conf.keystone_authtoken
    if conf.api.auth_type == "keystone":
        wanted = ["auth_url", "username", "password"]
        if keystone.auth_type == "v3applicationcredential":
            wanted[1:] = ["application_credential_id", "application_credential_secret"]
        if missing := [name for name in wanted if not keystone[name]]:
            raise config.ConfigError(
                f"[api] auth_type = keystone needs [keystone_authtoken] {', '.join(missing)}; "
                "`tenantry keystone init` sets a Keystone up, and prints them"
            )


def expires(certificate: str) -> datetime | None:
    """When a certificate of ours runs out, if we have one: that which is there now."""
    if certificate:
        with contextlib.suppress(certificates.CertificateError):  # perhaps it is no file of ours
            return certificates.expires(Path(certificate))
    return None


def bridge(conf: cfg.ConfigOpts) -> IntegrationBridge | None:
    name = conf.ovsdb.integration_bridge
    if not name:
        return None
    return IntegrationBridge(name, conf.ovsdb.datapath_type, conf.ovsdb.service_port)


def has_service_port(conf: cfg.ConfigOpts) -> bool:
    """It is on this host, if this host is among those that we look after."""
    here = any(remote.startswith("unix:") for remote in conf.ovsdb.connections)
    return bool(here and conf.ovsdb.integration_bridge)


def _check_reachable(conf: cfg.ConfigOpts, openflow: config.Address) -> None:
    """Bridges of databases elsewhere must be told where to connect to."""
    elsewhere = not all(remote.startswith("unix:") for remote in conf.ovsdb.connections)
    if conf.ovsdb.integration_bridge and elsewhere and openflow.host in ("0.0.0.0", "::"):
        raise config.ConfigError(
            f"[openflow] listen = {openflow}: bridges on other hosts are told to connect there, so "
            "name an address of this host that they reach; or have the hosts connect to us "
            "([ovsdb] listen)"
        )
