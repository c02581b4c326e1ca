"""Fixtures for all layers. The first import patches the standard library, as in production."""

import tenantry.controller.runtime  # noqa: F401  isort: skip
import os
import shutil
from collections.abc import Iterator

import pytest

from tests import namespace
from tests.openvswitch import OpenVSwitch


def need(condition: bool, what: str) -> None:
    """Skip where a machine cannot run a test; in CI that is a failure."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"this machine has no {what}, and CI must")
    pytest.skip(f"needs {what}")


@pytest.fixture
def dummy_ovs() -> Iterator[OpenVSwitch]:
    """A real Open vSwitch without packets or root: for ``ofproto/trace``."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch(dummy=True) as ovs:
        yield ovs


@pytest.fixture
def own_netns() -> Iterator[None]:
    """The test runs in a network namespace of its own, with nothing but loopback."""
    need(namespace.allowed(), "right to make network namespaces (root)")
    with namespace.entered():
        yield


@pytest.fixture
def ovs(own_netns: None) -> Iterator[OpenVSwitch]:
    """A real Open vSwitch, userspace datapath, in the test's own namespace."""
    need(shutil.which("ovs-vswitchd") is not None, "ovs-vswitchd")
    with OpenVSwitch() as ovs:
        yield ovs
