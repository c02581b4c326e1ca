# SPDX-License-Identifier: Apache-2.0

"""``make demo AUTH=keystone``: a real Keystone beside the controller, set up by the commands that
people use, and an administrator's token for the demo itself."""

import json
import os
import re
import time
import urllib.request

import openvswitch

PORT = 5000
PATIENCE = 60.0  # seconds until a Keystone that does not come up is an error
POLL = 0.05


class Keystone:
    """``file``: options for the controller. ``environment``: for clients."""

    def __init__(self, command, directory, cleanup):
        folder = directory / "keystone"
        self.file = folder / "tenantry.conf"
        self.environment = {"OS_CLIENT_CONFIG_FILE": str(folder / "clouds.yaml")}
        self.environment["OS_CLOUD"] = "admin"
        openvswitch.run(command, "keystone", "init", "--directory", folder)
        words = (command, "keystone", "serve", "--directory", folder)
        process = openvswitch.daemon(*words, directory=directory, name="keystone")
        cleanup.callback(openvswitch.stop, process)
        self._wait(process, directory / "keystone.log")
        os.environ.update(self.environment)
        self.token = _token((folder / "clouds.yaml").read_text())

    def _wait(self, process, log):
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v3", timeout=5).close()
                return
            except OSError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    words = log.read_text()[-3000:]
                    raise RuntimeError(f"Keystone did not come up: {error}\n{words}") from None
            time.sleep(POLL)


def _token(clouds):
    """An administrator's, for an hour (Identity API v3, "Password authentication with scoped
    authorization"). The system's Python may have no YAML, and needs one word of it."""
    (password,) = re.findall(r"^ +username: admin\n +password: (\S+)$", clouds, re.MULTILINE)
    domain = {"name": "Default"}
    user = {"name": "admin", "domain": domain, "password": password.strip("'")}
    body = {
        "identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": {"name": "admin", "domain": domain}},
    }
    request = urllib.request.Request(
        f"http://127.0.0.1:{PORT}/v3/auth/tokens",
        data=json.dumps({"auth": body}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["X-Subject-Token"]
