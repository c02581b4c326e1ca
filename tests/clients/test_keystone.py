# SPDX-License-Identifier: Apache-2.0

"""``tenantry keystone``: from nothing to users with roles, by the commands that people use."""

from __future__ import annotations

import json
import os
from pathlib import Path

from eventlet.green import subprocess

from tests.clients.keystone import TENANTRY, Keystone, run

ROLES = {
    "admin": {"admin", "manager", "member", "reader"},
    "manager": {"manager", "member", "reader"},
    "member": {"member", "reader"},
    "reader": {"reader"},
    "tenantry": {"service"},
}


def test_users_have_their_roles_and_a_catalogue(keystone: Keystone) -> None:
    projects = {}
    for user, roles in ROLES.items():
        program = (
            "import json, openstack; session = openstack.connect().session;"
            "access = session.auth.get_access(session);"
            "print(json.dumps([access.role_names, access.project_name,"
            " session.get_endpoint(service_type='network'),"
            " session.get_endpoint(service_type='load-balancer')]))"
        )
        python = TENANTRY.with_name("python")
        said = run(python, "-c", program, **keystone.environment(user))
        found, projects[user], network, load_balancer = json.loads(said)
        assert set(found) == roles
        assert network == keystone.network
        assert load_balancer == f"{keystone.network}/load-balancer"
    assert projects == {
        "admin": "admin",
        "tenantry": "service",
        **dict.fromkeys(("manager", "member", "reader"), "demo"),
    }


def of_network(keystone: Keystone) -> dict[str, str]:
    """The URLs in the catalogue, by id."""
    words = ("endpoint", "list", "--service", "network", "-f", "json")
    return {row["ID"]: row["URL"] for row in json.loads(keystone.ask("admin", *words))}


def test_a_second_run_mends_urls_and_lost_passwords_alone(keystone: Keystone) -> None:
    before = keystone.clouds.read_text()
    head, _, rest = before.partition("  reader:\n")
    _, controller, tail = rest.partition("  tenantry:\n")
    keystone.clouds.write_text(head + controller + tail)
    for id in of_network(keystone):
        keystone.ask("admin", "endpoint", "set", "--url", "http://127.0.0.1:1", id)
    keystone.init()
    after = keystone.clouds.read_text()
    assert after != before
    assert after.startswith(head)
    assert after.endswith(controller + tail)
    assert keystone.ask("reader", "token", "issue", "-f", "value", "-c", "id")
    urls = of_network(keystone).values()
    assert [*urls] == [keystone.network] * 3


def test_nobody_else_may_read_it(keystone: Keystone) -> None:
    assert os.stat(keystone.directory).st_mode & 0o077 == 0
    for name in ("clouds.yaml", "tenantry.conf", "keystone.conf"):
        assert os.stat(keystone.directory / name).st_mode & 0o077 == 0


def refused(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout
    return str(done.stderr)


def test_what_is_wrong_is_said_with_what_to_do(keystone: Keystone, tmp_path: Path) -> None:
    where = ("--directory", tmp_path)
    assert "begin with `tenantry keystone init`" in refused(TENANTRY, "keystone", "serve", *where)
    taken = ("--directory", keystone.directory, "--listen", keystone.address)
    assert "choose another --listen" in refused(TENANTRY, "keystone", "serve", *taken)
    (tmp_path / "clouds.yaml").write_text("clouds: 5")
    assert "mend it, or remove it" in refused(TENANTRY, "keystone", "init", *where)
