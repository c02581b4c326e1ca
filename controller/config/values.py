# SPDX-License-Identifier: Apache-2.0

"""How the text of options is read, and what is wrong with it: addresses, ranges, connections."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import NamedTuple


class ConfigError(Exception):
    """A file or a value that cannot be used; the message says which, and what would be right."""


class Address(NamedTuple):
    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host == "localhost" or (
            is_address(self.host) and ipaddress.ip_address(self.host).is_loopback
        )

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str, option: str) -> Address:
    """``127.0.0.1:9696`` or ``[::1]:9696``. Errors: ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not _is_port(port):
        raise ConfigError(f"{option} = {text}: must be ADDRESS:PORT, like 127.0.0.1:9696")
    return Address(host.strip("[]"), int(port))


def resolvers(texts: list[str]) -> list[Address]:
    """``["192.0.2.1", "[2001:db8::1]:5353"]``; without any, this host's. Errors: ConfigError."""
    found = []
    for text in texts or _host_resolvers():
        bare = text.strip("[]")
        host, port = (bare, "53") if is_address(bare) else text.rpartition(":")[::2]
        if not is_address(host.strip("[]")) or not _is_port(port):
            raise ConfigError(f"[dns] resolvers = {text}: must be ADDRESS or ADDRESS:PORT")
        found.append(Address(host.strip("[]"), int(port)))
    return found


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= 65535


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_resolvers() -> list[str]:
    try:
        lines = Path("/etc/resolv.conf").read_text().splitlines()
    except OSError:
        return []
    words = [line.split() for line in lines]
    named = [line[1] for line in words if len(line) > 1 and line[0] == "nameserver"]
    return [text for text in named if is_address(text)]


def connection(text: str, option: str) -> None:
    """``unix:PATH``, ``tcp:HOST:PORT`` or ``ssl:HOST:PORT``. Errors: ConfigError."""
    scheme, _, where = text.partition(":")
    if scheme == "unix" and where:
        return
    host, _, port = where.rpartition(":")
    if scheme not in ("tcp", "ssl") or not host or not _is_port(port):
        raise ConfigError(
            f"{option} = {text}: must be unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT, like "
            "unix:/var/run/openvswitch/db.sock"
        )


def base_mac(text: str, option: str) -> None:
    """Six octets of a unicast address. Errors: ConfigError."""
    if not re.fullmatch(r"[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}", text):
        raise ConfigError(
            f"{option} = {text}: must be a MAC address of one interface, like fa:16:3e:00:00:00"
        )


def interface(text: str, option: str) -> None:
    """A name that Linux takes for an interface, or nothing. Errors: ConfigError."""
    if text and not re.fullmatch(r"[^\s/:]{1,15}", text):
        raise ConfigError(f"{option} = {text}: must be at most 15 characters, no space, / or :")


def domain(text: str, option: str) -> None:
    """Labels by dots (RFC 1123, section 2.1). Errors: ConfigError."""
    label = r"[0-9a-zA-Z]([0-9a-zA-Z-]{0,61}[0-9a-zA-Z])?"
    if len(text) > 253 or not re.fullmatch(rf"{label}(\.{label})*\.?", text):
        raise ConfigError(f"{option} = {text}: must be a domain, like example.org.")
