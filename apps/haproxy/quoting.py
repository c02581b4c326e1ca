# SPDX-License-Identifier: Apache-2.0

"""Text in a configuration of HAProxy. What tenants write may mean nothing but itself, so it gets
there only through these. See HAProxy's Configuration Manual, 2.2 (Quoting and escaping) and 8.2.6
(Custom log format)."""

from __future__ import annotations


def word(text: str) -> str:
    """One word of a line, whatever is in it. In single quotes nothing has a meaning: neither
    spaces, ``#`` and backslashes nor ``$VARIABLE``. Errors: ValueError, if there is something that
    no word can have: the end of a line above all, which ends quotes, too."""
    for character in text:
        code = ord(character)
        if (code < 0x20 and character != "\t") or code == 0x7F or 0xD800 <= code < 0xE000:
            raise ValueError(f"{text!r} has a character that HAProxy cannot be told of")
    return "'" + text.replace("'", "'\\''") + "'"


def fetch(name: str, argument: str, *converters: str) -> str:
    """A sample with one argument, as a word. The argument is quoted by itself, within the word:
    commas and parentheses would end it."""
    quoted = argument.replace("\\", "\\\\").replace('"', '\\"')
    return word(",".join((f'{name}("{quoted}")', *converters)))


def text_format(text: str) -> str:
    """A word that is read as a format, and says this text: it has no ``%[sample]``."""
    return word(text.replace("%", "%%"))
