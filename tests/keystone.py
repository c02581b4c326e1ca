# SPDX-License-Identifier: Apache-2.0

"""A Keystone of a few lines, for what a real one cannot be made to do: it speaks
``/v3/auth/tokens`` (docs.openstack.org/api-ref/identity/v3), and can be broken or gone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from typing import Any

from webob import Request, Response

from tenantry.controller import runtime

USER, PASSWORD = "neutron", "own-password"


class Keystone:
    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked = 0
        """How often somebody wanted to know what a token is worth."""
        self.broken = 0
        """The status with which all is answered, if not 0."""
        self.url = ""
        self.network = ""
        """The endpoint of the network service, for its catalogue."""
        self.users = {USER: (PASSWORD, "service", ("service", "admin"))}
        """By name: password, project, roles."""

    def issue(
        self,
        user: str = "alice",
        project: str | None = "blue",
        roles: tuple[str, ...] = ("member", "reader"),
        seconds: float = 3600,
        **more: Any,
    ) -> str:
        """A token."""
        now = datetime.now(timezone.utc)
        domain = {"id": "default", "name": "Default"}
        token: dict[str, Any] = {
            "methods": ["password"],
            "user": {"id": f"id-{user}", "name": user, "domain": domain},
            "issued_at": now.isoformat(),
            "expires_at": (now + timedelta(seconds=seconds)).isoformat(),
            "audit_ids": ["x"],
            "catalog": self._catalog(),
            "roles": [{"id": f"id-{role}", "name": role} for role in roles],
            **more,
        }
        if project:
            token["project"] = {"id": f"id-{project}", "name": project, "domain": domain}
        id = uuid.uuid4().hex
        self.tokens[id] = token
        return id

    def _catalog(self) -> list[dict[str, Any]]:
        """As long as that of a small cloud."""
        endpoints = {"identity": f"{self.url}/v3", "network": self.network}
        return [
            {
                "type": type,
                "name": type,
                "id": uuid.uuid4().hex,
                "endpoints": [
                    {
                        "interface": interface,
                        "url": endpoints.get(type, f"{self.url}/{type}"),
                        "region": "here",
                        "region_id": "here",
                        "id": uuid.uuid4().hex,
                    }
                    for interface in ("public", "internal", "admin")
                ],
            }
            for type in ("network", "compute", "image", "identity", "placement", "volumev3")
        ]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        response = self._answer(Request(environ))
        return response(environ, start_response)

    def _answer(self, request: Request) -> Response:
        if self.broken:
            return Response(status=self.broken)
        if request.path_info.rstrip("/") in ("", "/v3"):
            links = [{"rel": "self", "href": f"{self.url}/v3/"}]
            version = {"id": "v3.14", "status": "stable", "links": links, "media-types": []}
            if request.path_info.strip("/"):
                return Response(json_body={"version": version})
            return Response(status=300, json_body={"versions": {"values": [version]}})
        assert request.path_info == "/v3/auth/tokens", request.path_info
        if request.method == "POST":
            said = request.json_body["auth"]["identity"]["password"]["user"]
            password, project, roles = self.users.get(said["name"], ("", "", ()))
            if not password or said["password"] != password:
                return Response(status=401, json_body={"error": {"message": "no", "code": 401}})
            id = self.issue(said["name"], project, roles)
            body = {"token": self.tokens[id]}
            return Response(status=201, json_body=body, headers={"X-Subject-Token": id})
        assert request.headers["X-Auth-Token"] in self.tokens, "we did not say who we are"
        self.asked += 1
        token = self.tokens.get(request.headers["X-Subject-Token"])
        over = token and datetime.fromisoformat(token["expires_at"]) < datetime.now(timezone.utc)
        if token is None or (over and "allow_expired" not in request.GET):
            words = f"Could not find token: {request.headers['X-Subject-Token']}."  # as a real one
            return Response(status=404, json_body={"error": {"message": words, "code": 404}})
        return Response(json.dumps({"token": token}).encode(), content_type="application/json")


@contextmanager
def served() -> Iterator[Keystone]:
    """One that answers as long as the block lasts."""
    keystone = Keystone()
    listening = runtime.listen(("127.0.0.1", 0))
    keystone.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    server = runtime.spawn(runtime.wsgi_server, listening, keystone, log_output=False)
    try:
        yield keystone
    finally:
        server.kill()
        listening.close()
