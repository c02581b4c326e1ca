# SPDX-License-Identifier: Apache-2.0

"""Regular expressions as a proxy reads them: PCRE2's, of octets. It is the library that HAProxy
uses, and a part of every Debian and Ubuntu; where it is not there, the proxy says what is wrong."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

_LIBRARY = "libpcre2-8.so.0"


@cache
def _pcre2() -> Any:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    compile = library.pcre2_compile_8
    compile.restype = ctypes.c_void_p
    number, offset = ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_size_t)
    text = (ctypes.c_char_p, ctypes.c_size_t)
    compile.argtypes = [*text, ctypes.c_uint32, number, offset, ctypes.c_void_p]
    library.pcre2_code_free_8.argtypes = [ctypes.c_void_p]
    library.pcre2_code_free_8.restype = None
    message = library.pcre2_get_error_message_8
    message.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t]
    return library


def fault(expression: str) -> str:
    """What PCRE2 has against an expression, and where; "" if nothing. See pcre2_compile(3)."""
    library = _pcre2()
    if library is None:
        return ""
    text = expression.encode("utf-8", "surrogatepass")
    number, offset = ctypes.c_int(), ctypes.c_size_t()
    code = library.pcre2_compile_8(
        text, len(text), 0, ctypes.byref(number), ctypes.byref(offset), None
    )
    if code:
        library.pcre2_code_free_8(code)
        return ""
    words = ctypes.create_string_buffer(256)
    library.pcre2_get_error_message_8(number, words, len(words))
    return f"{words.value.decode()} at {offset.value}"
