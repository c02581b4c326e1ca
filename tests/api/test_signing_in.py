# SPDX-License-Identifier: Apache-2.0

"""``tenantry serve`` with a door that is shut, and the unmodified ``openstack`` client, and
``tenantry``, who have a key or not."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eventlet.green import subprocess

from tenantry.controller import runtime
from tenantry.controller.config import accounts
from tenantry.controller.config.accounts import Account
from tenantry.controller.sockets import certificates
from tests import keystone as fake
from tests.api.openstack import CLIENT, Client
from tests.bench.served import configuration
from tests.conftest import need

TENANTRY = (sys.executable, "-m", "tenantry.controller")
PASSWORDS = {"alice": "correct-horse", "bob": "battery-staple", "root": "trustno1-nobody"}
PROJECTS = {"alice": "blue", "bob": "red", "root": "ops"}
ROLES = {"alice": "member", "bob": "member", "root": "admin"}


class Machine:
    """A machine with a controller, and people who use it."""

    def __init__(self, directory: Path, **options: str) -> None:
        self.directory = directory
        self.configuration = configuration(directory, **options)
        self.url = ""
        self.environment = {"PATH": os.environ["PATH"], "HOME": str(directory)}

    @contextmanager
    def serving(self) -> Iterator[None]:
        with (self.directory / "log").open("w") as log:
            process = subprocess.Popen(
                [*TENANTRY, "--config-file", str(self.configuration), "serve"],
                stderr=log,
                env=self.environment,
            )
        try:
            while not (found := re.search(r"API at (\S+),", self.log())):
                assert process.poll() is None, self.log()
                runtime.sleep(0.02)
            self.url = found[1]
            yield
        finally:
            process.terminate()
            process.wait()

    def log(self) -> str:
        return (self.directory / "log").read_text()

    def tenantry(self, *words: str, **environment: str) -> tuple[int, str]:
        """The exit status of a command, and all that it prints."""
        done = subprocess.run(
            [*TENANTRY, *words],
            input="",  # with two pipes, the loop goes on, in which a Keystone answers
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.returncode, done.stdout

    def openstack(self, **environment: str) -> Client:
        return Client(self.directory, **environment)


def two_projects(alice: Client, bob: Client) -> str:
    """Each makes a network of the same name and sees that one alone; the id of alice's."""
    made = [
        client.run("network create ours -f json", "network list -f json") for client in (alice, bob)
    ]
    for network, listed in made:
        assert [each["ID"] for each in listed] == [network["id"]]
    id: str = made[0][0]["id"]
    _, errors = bob.said(f"network show {id}", f"network delete {id}")
    assert errors.count(id) >= 2, errors
    assert len(alice.run("network list -f json")[0]) == 1
    return id


@pytest.fixture
def certified(tmp_path: Path) -> dict[str, str]:
    """Options for TLS."""
    directory = tmp_path / "ca"
    certificates.create(directory, ["127.0.0.1"])
    return {
        "api__tls_certificate": str(directory / certificates.CONTROLLER),
        "api__tls_private_key": str(directory / certificates.CONTROLLER_KEY),
    }


def test_accounts_from_nothing(tmp_path: Path, certified: dict[str, str]) -> None:
    need(CLIENT.exists(), "python-openstackclient")
    file = tmp_path / "accounts"
    here = Machine(tmp_path, api__auth_type="basic", api__accounts=str(file), **certified)
    status, told = here.tenantry("--config-file", str(here.configuration), "serve")
    assert (status, "tenantry account add NAME" in told) == (1, True), told
    with accounts.changed(file) as found:
        for name, password in PASSWORDS.items():
            crypted = accounts.crypt(password)
            found[name] = Account(name, crypted, PROJECTS[name], (ROLES[name],))
    trust = {"OS_CACERT": str(tmp_path / "ca" / certificates.AUTHORITY)}
    with here.serving():
        assert here.url.startswith("https://127.0.0.1:")

        def key(name: str, password: str = "") -> dict[str, str]:
            password = password or PASSWORDS[name]
            basic = {"OS_AUTH_TYPE": "http_basic", "OS_ENDPOINT": here.url, **trust}
            return {**basic, "OS_USERNAME": name, "OS_PASSWORD": password}

        alice, bob, root = (here.openstack(**key(name)) for name in PASSWORDS)
        id = two_projects(alice, bob)
        assert len(root.run("network list -f json")[0]) == 2
        _, errors = here.openstack(**key("alice", "wrong-horse")).said("network list")
        assert "401" in errors
        assert "wrong-horse" not in errors

        # The tenantry command, by each way of having a key.
        status, told = here.tenantry("--url", here.url, "status", **trust)
        assert (status, "OS_AUTH_TYPE=http_basic, OS_USERNAME" in told) == (1, True), told
        status, told = here.tenantry("--url", here.url, "status")
        assert (status, "OS_CACERT" in told) == (1, True), told
        status, told = here.tenantry("--url", here.url.replace("https", "http"), "status")
        assert (status, "or https:// if it has a certificate" in told) == (1, True), told
        status, told = here.tenantry("status", **key("root", "wrong-horse"))
        assert (status, "is wrong; see OS_USERNAME and OS_PASSWORD" in told) == (1, True), told
        status, shown = here.tenantry("--json", "status", **key("root"))
        assert status == 0, shown
        api = json.loads(shown)["api"]
        assert api.pop("certificate_expires") > "2026"
        assert api == {"auth_type": "basic", "tls": True, "loopback": True}
        _, cloud = here.tenantry("--url", here.url, "cloud-config", "--username", "root")
        clouds = tmp_path / "clouds.yaml"
        clouds.write_text(f"{cloud}    cacert: {trust['OS_CACERT']}\n")
        files = {"OS_CLIENT_CONFIG_FILE": str(clouds)}
        status, told = here.tenantry("--os-cloud", "tenantry", "status", **files)
        assert (status, "tenantry in clouds.yaml" in told) == (1, True), told
        clouds.with_name("secure.yaml").write_text(
            f"clouds:\n  tenantry:\n    auth:\n      password: {PASSWORDS['root']}\n"
        )
        files["OS_CLIENT_SECURE_FILE"] = str(clouds.with_name("secure.yaml"))
        status, told = here.tenantry("--os-cloud", "tenantry", "status", **files)
        assert status == 0, told
        status, told = here.tenantry("--os-cloud", "other", "status", **files)
        assert (status, "other" in told) == (1, True), told

        # What is changed holds at once.
        with accounts.changed(file) as found:
            found["alice"] = found["alice"]._replace(crypted=accounts.crypt("another-horse"))
            del found["bob"]
        _, errors = alice.said("network list")
        assert "401" in errors
        _, errors = bob.said("network list")
        assert "401" in errors
        again = here.openstack(**key("alice", "another-horse"))
        assert [each["ID"] for each in again.run("network list -f json")[0]] == [id]

    log = here.log()
    written = rf"alice of project blue, req-[0-9a-f-]{{36}}: creates network ours \({id}\)"
    assert re.search(written, log), log
    said = [*PASSWORDS.values(), "another-horse", "wrong-horse", "$2b$"]
    assert not [secret for secret in said if secret in log + shown]


def test_tokens(tmp_path: Path) -> None:
    need(CLIENT.exists(), "python-openstackclient")
    with fake.served() as stone:
        for name, password in PASSWORDS.items():
            stone.users[name] = (password, PROJECTS[name], (ROLES[name], "reader"))
        options = {
            "api__auth_type": "keystone",
            "keystone_authtoken__auth_url": stone.url,
            "keystone_authtoken__username": fake.USER,
            "keystone_authtoken__password": fake.PASSWORD,
        }
        here = Machine(tmp_path, **options)
        with here.serving():
            stone.network = here.url

            def key(name: str) -> dict[str, str]:
                return {
                    "OS_AUTH_URL": stone.url,
                    "OS_IDENTITY_API_VERSION": "3",
                    "OS_USERNAME": name,
                    "OS_PASSWORD": PASSWORDS[name],
                    "OS_PROJECT_NAME": PROJECTS[name],
                    "OS_USER_DOMAIN_NAME": "Default",
                    "OS_PROJECT_DOMAIN_NAME": "Default",
                }

            alice, bob, root = (here.openstack(**key(name)) for name in PASSWORDS)
            id = two_projects(alice, bob)
            assert len(root.run("network list -f json")[0]) == 2
            assert here.tenantry("status", **key("root"))[0] == 0
            status, told = here.tenantry("--url", here.url, "status")
            wanted = f"OS_AUTH_URL={stone.url}, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME"
            assert (status, wanted in told) == (1, True), told
            status, told = here.tenantry("status", **key("root") | {"OS_PASSWORD": "wrong"})
            assert (status, "OS_USERNAME and OS_PASSWORD" in told) == (1, True), told
            stone.broken = 500
            lies: dict[str, Any] = {"OS_TOKEN": "unknown", "OS_AUTH_TYPE": "admin_token"}
            status, told = here.tenantry("status", OS_ENDPOINT=here.url, **lies)
            assert (status, "Keystone cannot be asked" in told) == (1, True), told
        log = here.log()
        written = rf"alice \(id-alice\) of project blue .*: creates network ours \({id}\)"
        assert re.search(written, log), log
        secrets = [fake.PASSWORD, *PASSWORDS.values(), *stone.tokens]
        assert not [secret for secret in secrets if secret in log]
