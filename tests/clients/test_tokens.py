# SPDX-License-Identifier: Apache-2.0

"""Tokens of a real Keystone at the door: revoked ones, those of application credentials, and those
that are for no project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from webob import Request

from tenantry.controller.api import auth
from tenantry.controller.cli import features
from tenantry.controller.feature.context import Context
from tests.clients.keystone import Keystone

Ask = Callable[..., Context]


@pytest.fixture
def ask(keystone: Keystone, tmp_path: Path) -> Ask:
    """Whom a door that asks Keystone each time takes a token's owner for."""
    more = tmp_path / "more.conf"
    more.write_text("[keystone_authtoken]\ntoken_cache_time = 0\n")
    door = auth.door(features.load([str(keystone.directory / "tenantry.conf"), str(more)]))

    def asked(token: str, method: str = "GET", path: str = "/v2.0/networks") -> Context:
        return door(Request.blank(path, method=method, headers={"X-Auth-Token": token}))

    return asked


def signed_in(keystone: Keystone, user: str, **scope: Any) -> Session:
    known = yaml.safe_load(keystone.clouds.read_text())["clouds"][user]["auth"]
    if scope:
        known = {k: v for k, v in known.items() if not k.startswith("project")} | scope
    return Session(v3.Password(**known))


def refusal(ask: Ask, *words: str) -> int:
    with pytest.raises(Exception) as caught:
        ask(*words)
    return int(caught.value.status_int)


def test_a_revoked_token_is_refused(keystone: Keystone, ask: Ask) -> None:
    session = signed_in(keystone, "member")
    token = str(session.get_token())
    known = ask(token)
    assert known.roles == {"member", "reader"}
    assert (known.project_id, known.user_id) == (session.get_project_id(), session.get_user_id())
    assert "member (" in known.actor
    assert "of project demo (" in known.actor
    session.delete(f"http://{keystone.address}/v3/auth/tokens", headers={"X-Subject-Token": token})
    assert refusal(ask, token) == 401


@pytest.mark.parametrize("rules", [None, [("GET", "/v2.0/networks"), ("GET", "/v2.0/ports/**")]])
def test_application_credentials(
    keystone: Keystone, ask: Ask, rules: list[tuple[str, str]] | None
) -> None:
    session = signed_in(keystone, "member")
    url = f"http://{keystone.address}/v3"
    wanted: dict[str, Any] = {"name": f"rules-{bool(rules)}", "roles": [{"name": "reader"}]}
    if rules is not None:
        wanted["access_rules"] = [
            {"service": "network", "method": method, "path": path} for method, path in rules
        ]
    where = f"{url}/users/{session.get_user_id()}/application_credentials"
    made = session.post(where, json={"application_credential": wanted}).json()
    credential = made["application_credential"]
    by = v3.ApplicationCredential(
        url,
        application_credential_id=credential["id"],
        application_credential_secret=credential["secret"],
    )
    token = str(Session(by).get_token())
    known = ask(token)
    assert known.roles == {"reader"}
    assert known.project_id == session.get_project_id()
    assert ask(token, "GET", "/v2.0/ports/x").user_id == known.user_id
    if rules is None:
        assert ask(token, "POST").user_id == known.user_id
    else:
        assert refusal(ask, token, "POST") == 401
        assert refusal(ask, token, "GET", "/v2.0/routers") == 401
    session.delete(f"{where}/{credential['id']}")
    assert refusal(ask, token) == 401


def test_a_token_for_no_project_is_refused(keystone: Keystone, ask: Ask) -> None:
    everything = signed_in(keystone, "admin", system_scope="all")
    assert refusal(ask, str(everything.get_token())) == 403
    nothing = signed_in(keystone, "member", unscoped=True)
    assert refusal(ask, str(nothing.get_token())) == 403
