# SPDX-License-Identifier: Apache-2.0

"""Who is dead, by what was answered; and what is kept of that over a restart."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

LOG = logging.getLogger(__name__)


class Judge:
    """Of one: ``fall`` failures in a row, and it is dead; ``rise`` successes, and it is alive. Of
    whom nothing is known, one success is enough. ``dead``: why it was dead before, if it was."""

    def __init__(self, rise: int, fall: int, dead: str | None = None) -> None:
        self.alive: bool | None = None if dead is None else False
        self.reason = dead or ""
        self._rise, self._fall = rise, fall
        self._row = 0
        self._last = ""

    def needs(self, rise: int, fall: int) -> None:
        self._rise, self._fall = rise, fall

    def heard(self, reason: str) -> bool:
        """What came of a question: "" or what was wrong. Whether the verdict is another now."""
        if self.alive is False and reason not in ("", self.reason):
            # Still dead; but of something else, once that is as sure.
            self._row = self._row + 1 if reason == self._last else 1
        elif (reason == "") is self.alive:
            self._row = 0
        else:
            same_side = (reason == "") == (self._last == "")
            self._row = self._row + 1 if same_side else 1
        self._last = reason
        needed = self._fall if reason else self._rise if self.alive is False else 1
        if not self._row or self._row < needed:
            return False
        self.alive, self.reason, self._row = not reason, reason, 0
        return True


class Kept:
    """The dead, by id, with why: in a file, which is written when they are others, and read at a
    start. "" is no file."""

    def __init__(self, file: str) -> None:
        self.dead: dict[str, str] = {}
        self.changed = self.is_planned = False
        self._file = file
        if file:
            try:
                read = json.loads(Path(file).read_text())
                self.dead = {str(id): str(why) for id, why in read.items()}
            except FileNotFoundError:
                pass
            except (OSError, ValueError, AttributeError) as error:
                LOG.warning("%s: %s; nobody is taken for dead until it is asked", file, error)

    def note(self, id: str, why: str | None) -> None:
        """``why`` it is dead; None if it is not."""
        if self.dead.get(id) != why:
            self.changed = True
            if why is None:
                del self.dead[id]
            else:
                self.dead[id] = why

    def write(self) -> None:
        """As a whole, or not at all: the old one is there until the new one is."""
        self.is_planned = False
        if not (self._file and self.changed):
            return
        self.changed = False
        try:
            path = Path(self._file)
            path.parent.mkdir(parents=True, exist_ok=True)
            new = path.with_name(path.name + ".new")
            new.write_text(json.dumps(self.dead, indent=0, sort_keys=True))
            os.replace(new, path)
        except OSError as error:
            LOG.error("%s: %s; a restart will know of nobody that it is dead", self._file, error)
