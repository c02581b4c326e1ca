# SPDX-License-Identifier: Apache-2.0

"""The network log's lines: in the file, and for who follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eventlet.green.urllib import request

from tenantry.apps.network_log.log import REMEMBERED, LogWriter
from tenantry.controller import runtime


def test_lines_are_kept_and_written(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "network.log"
    log = LogWriter(str(file))
    for number in range(REMEMBERED + 5):
        log.write({"number": number})
    assert [line["number"] for line in log.recent][:2] == [5, 6]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["number"] for line in lines] == list(range(REMEMBERED + 5))
    assert all(line["time"].endswith("+00:00") for line in lines)


def test_a_file_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = LogWriter(str(tmp_path))
    for _ in range(2):
        log.write({"number": 1})
    assert len(log.recent) == 2
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_who_follows_over_http_gets_each_line_as_it_comes() -> None:
    log = LogWriter("")
    log.write({"number": 0})

    def application(environ: dict[str, object], start_response: object) -> object:
        environ[runtime.UNBUFFERED] = 0
        start_response("200 OK", [("Content-Type", "application/x-ndjson")])  # type: ignore[operator]
        return log.follow()

    listener = runtime.listen(("127.0.0.1", 0))
    server = runtime.spawn(runtime.wsgi_server, listener, application, log_output=False)
    with request.urlopen(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout=5) as answer:
        assert answer.readline() == b"\n"
        for number in (1, 2):
            log.write({"number": number})
            assert json.loads(answer.readline())["number"] == number
    server.kill()
