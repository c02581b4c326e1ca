# SPDX-License-Identifier: Apache-2.0

"""A real Prometheus scrapes a controller: every expression of the alerts and of the dashboard means
something there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from tenantry.controller.cli import monitoring
from tenantry.controller.openflow.drops import UNFORESEEN
from tenantry.controller.openflow.pipeline import DROP_CAUSE, IN_PORT
from tests.conftest import need
from tests.lab import Lab, eventually, lab
from tests.openvswitch import OpenVSwitch

EXPRESSIONS = {
    f"{panel['title']} {target['refId']}": target["expr"]
    for panel in json.loads(monitoring.dashboard())["panels"]
    for target in panel.get("targets", ())
}
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load(monitoring.alerts())["groups"]
    for rule in group["rules"]
}
PAGE = Path(__file__).parents[2] / "docs" / "monitoring.md"

RARE = {"tenantry_certificate_expiry_timestamp_seconds"}
"""What there is only with TLS."""


SPOOFED = "eth(src=52:54:00:00:00:99,dst=ff:ff:ff:ff:ff:ff),eth_type(0x88b5)"
"""By no port's address: it is dropped."""


class Prometheus:
    def __init__(self, at: str) -> None:
        self._url = f"http://{at}/api/v1"

    def get(self, path: str) -> Any:
        with urlopen(f"{self._url}/{path}", timeout=20) as answer:
            told = json.load(answer)
        assert told["status"] == "success"
        return told["data"]

    def value(self, expression: str) -> Any:
        return self.get(f"query?query={quote(expression)}")["result"]


@pytest.fixture
def net(dummy_ovs: OpenVSwitch, tmp_path: Path) -> Iterator[Lab]:
    with lab(dummy_ovs, tmp_path, metrics__kept="0") as net:
        interface = net.attach(net.port(net.network("10.0.0.0/24")))
        net.settle()
        net.ovs.appctl("netdev-dummy/receive", interface, SPOOFED)
        yield net


@pytest.fixture
def prometheus(net: Lab, tmp_path: Path) -> Iterator[Prometheus]:
    """With the configuration that the page shows, but for where things are, and how often."""
    need(shutil.which("promtool") is not None, "prometheus (Debian: prometheus)")
    (text,) = re.findall(r"```yaml\n(.*?scrape_configs.*?)```", PAGE.read_text(), re.S)
    text = text.replace("127.0.0.1:9696", net.controller.api_url.removeprefix("http://"))
    (tmp_path / "tenantry-alerts.yml").write_text(monitoring.alerts())
    config = tmp_path / "prometheus.yml"
    config.write_text(text.replace("scrape_interval: 15s", "scrape_interval: 1s"))
    subprocess.run(["promtool", "check", "config", config], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = f"127.0.0.1:{free.getsockname()[1]}"
    command = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"),
        f"--web.listen-address={at}",
    ]
    with (tmp_path / "prometheus.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    prometheus = Prometheus(at)

    def scraped() -> bool:
        with suppress(OSError):
            counts = prometheus.value("count_over_time(tenantry_revision[1m])")
            return bool(counts) and int(counts[0]["value"][1]) >= 3
        return False

    try:
        assert eventually(scraped, 60)
        yield prometheus
    finally:
        process.terminate()
        process.wait()


def test_a_real_prometheus(net: Lab, prometheus: Prometheus) -> None:
    (up,) = prometheus.value('up{job="tenantry"}')
    assert up["value"][1] == "1"
    names = set(prometheus.get("label/__name__/values"))
    for words, expression in {**EXPRESSIONS, **ALERTS}.items():
        asked = set(re.findall(r"\b(?:tenantry|process)_\w+(?=[^\w(])", expression + " "))
        assert asked - {"tenantry"} or "up{" in expression, words
        assert asked <= names | RARE, words
    for words, expression in EXPRESSIONS.items():
        asked = expression.replace("$__rate_interval", "1m").replace("$instance", ".*")
        found = prometheus.value(asked)
        assert bool(found) is not any(name in expression for name in RARE), words
    (network,) = prometheus.value("tenantry_network_info")
    assert network["metric"]["project_id"] == "demo"
    groups = prometheus.get("rules")["groups"]
    rules = {rule["name"]: rule for group in groups for rule in group["rules"]}
    assert rules.keys() == ALERTS.keys()
    assert {rule["health"] for rule in rules.values()} <= {"ok", "unknown"}
    for expression in ALERTS.values():
        assert prometheus.value(expression) == [], "nothing is wrong"


def test_one_unforeseen_drop_is_an_alert(net: Lab, prometheus: Prometheus) -> None:
    """None can be made with packets, so the switch is given what it would have learned of one."""
    expression = ALERTS["TenantryDropsUnforeseen"]
    assert not prometheus.value(expression)
    net.drop_account({DROP_CAUSE: UNFORESEEN.value, IN_PORT: 1})
    assert eventually(lambda: bool(prometheus.value(expression)), 60)


def test_an_alert_is_raised(net: Lab, prometheus: Prometheus) -> None:
    """Somebody else takes all flows away; they are put back."""
    expression = ALERTS["TenantryFlowsRepaired"]
    assert expression.startswith("delta(tenantry_switch_repaired[")
    assert not prometheus.value(expression)
    net.ovs.ofctl("del-flows", "br-int")
    assert eventually(lambda: bool(prometheus.value(expression)), 60)
