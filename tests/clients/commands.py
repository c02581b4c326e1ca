# SPDX-License-Identifier: Apache-2.0

"""A program: the unmodified ``openstack`` client, started once, runs many commands.

Its input is a line of JSON for each command: the words. It prints a line for each: the status with
which it would have ended, and what it said of errors. OS_* name the cloud.
"""

import contextlib
import io
import json
import logging
import sys

from openstackclient.shell import OpenStackShell

OUTPUT = sys.stdout


class Shell(OpenStackShell):
    """In place of a prompt it reads our lines."""

    def interact(self) -> None:
        said = io.StringIO()
        handler = logging.StreamHandler(said)
        handler.setLevel(logging.WARNING)
        logging.getLogger().addHandler(handler)
        for line in sys.stdin:
            said.seek(0)
            said.truncate()
            self.stdout = io.StringIO()
            with contextlib.redirect_stderr(said), contextlib.redirect_stdout(self.stdout):
                try:
                    status = self.run_subcommand(json.loads(line))
                except SystemExit as end:  # the words make no sense to it
                    status = end.code
            print(json.dumps([status or 0, said.getvalue()]), file=OUTPUT, flush=True)


sys.exit(Shell().run([]))
