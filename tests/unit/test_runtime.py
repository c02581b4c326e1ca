"""What eventlet is mended in."""

import subprocess

import pytest


@pytest.mark.timeout(20)
@pytest.mark.parametrize("script", ["exit 3", "head -c 100000 >/dev/null; kill -9 $$"])
def test_a_child_that_dies_before_it_has_read_all_ends_the_writing(script: str) -> None:
    done = subprocess.run(["sh", "-c", script], input=bytes(10_000_000), capture_output=True)
    assert done.returncode in (3, -9)


@pytest.mark.timeout(20)
def test_what_a_child_reads_is_whole() -> None:
    done = subprocess.run(["wc", "-c"], input=bytes(10_000_000), capture_output=True, text=False)
    assert int(done.stdout) == 10_000_000
