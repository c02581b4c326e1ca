# SPDX-License-Identifier: Apache-2.0

"""Configuration files as such: which options they have, and what is wrong with them, in words.

oslo.config ignores what it does not know, and its errors are for those who write Python.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from oslo_config import cfg, types

from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.config.values import ConfigError


def read(
    files: Sequence[str], groups: Mapping[str, Sequence[cfg.Opt]]
) -> dict[tuple[str, str], str]:
    """What the files say, by section and option; a file overrides those before it. Errors:
    ConfigError, for what is no section or option, too."""
    given: dict[tuple[str, str], str] = {}
    for file in files:
        sections: dict[str, dict[str, list[str]]] = {}
        try:
            cfg.ConfigParser(file, sections).parse()
        except OSError as error:
            raise ConfigError(f"{file}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{file} is not text in UTF-8") from None
        except cfg.ParseError as error:
            raise ConfigError(
                f"{file}, line {error.lineno}: {error.line.strip()}: must be [SECTION], OPTION = "
                "VALUE or a # with a comment"
            ) from None
        for section, options in sections.items():
            if section not in groups:
                raise ConfigError(
                    f"{file}: there is no section [{section}]{did_you_mean(section, groups)} "
                    "`tenantry sample-config` prints all"
                )
            known = [option.dest for option in groups[section]]
            for name, values in options.items():
                if name not in known:
                    elsewhere = [group for group, all in groups.items() if name in _names(all)]
                    hint = f"; it belongs to [{elsewhere[0]}]." if elsewhere else ""
                    raise ConfigError(
                        f"{file}: there is no option {name} in [{section}]"
                        f"{hint or did_you_mean(name, known)} `tenantry sample-config` prints all"
                    )
                if len(values) > 1:
                    raise ConfigError(f"{file}: [{section}] {name} is given {len(values)} times")
                given[section, name] = values[0]
    return given


def _names(options: Sequence[cfg.Opt]) -> list[str]:
    return [option.dest for option in options]


def form(type: Any) -> str:
    """What a value must be."""
    choices = getattr(type, "choices", None)
    if choices:
        return "one of: " + ", ".join(str(choice) or "(nothing)" for choice in choices)
    if isinstance(type, types.Integer | types.Float):
        kind = "a whole number" if isinstance(type, types.Integer) else "a number"
        if type.min is not None and type.max is not None:
            return f"{kind} from {type.min} to {type.max}"
        return kind if type.min is None else f"{kind}, at least {type.min}"
    if isinstance(type, types.Dict):
        return f"NAME:VALUE, or several, by commas; VALUE is {form(type.value_type)}"
    if isinstance(type, types.List):
        return f"{form(type.item_type)}, or several, by commas"
    if isinstance(type, types.IPAddress):
        return "an IP address"
    if isinstance(type, types.String):
        return "text; a $ in it is written as $$"
    return "otherwise: `tenantry sample-config` tells"
