# SPDX-License-Identifier: Apache-2.0

"""Turns a stream of subunit (v2) into lines of JSON: id, status, seconds, details of each test.

Run by the suites' own Python, which has subunit: ``stestr run --subunit | python stream.py``.
"""

import json
import sys

import subunit
from testtools import StreamToDict


def told(test: dict) -> None:
    start, end = test["timestamps"]
    details = {
        name: content.as_text()
        for name, content in test["details"].items()
        if name == "reason" or name.startswith("traceback")
    }
    seconds = (end - start).total_seconds() if start and end else 0.0
    line = {"id": test["id"], "status": test["status"], "seconds": seconds}
    print(json.dumps({**line, "details": "\n".join(details.values())}), flush=True)


result = StreamToDict(told)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="stdout").run(result)
result.stopTestRun()
