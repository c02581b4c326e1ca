# SPDX-License-Identifier: Apache-2.0

"""Whether a caller may do what they ask for: the features' rules, and the operator's on top of
them, evaluated by oslo.policy.

A decision is a pure function of the rule, of who asks, and of the values that the rule reads of
its target, which can be told from the rule and from who asks: of an administrator's it mostly reads
none. So it is made once for these and remembered until the rules change: a list of 5,000 ports of
one project asks oslo.policy once.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from neutron_lib import exceptions
from oslo_config import cfg
from oslo_policy import _checks as checks
from oslo_policy import policy

from tenantry.controller import runtime
from tenantry.controller.config import ConfigError
from tenantry.controller.config.nearest import did_you_mean
from tenantry.controller.feature.context import Context
from tenantry.controller.feature.policies import BASE, FieldCheck

LOG = logging.getLogger(__name__)

ADMIN_RULE = "context_is_admin"
REMEMBERED = 1 << 16
"""Decisions."""

Read: TypeAlias = Callable[[str], Any]
"""The value that a rule reads of its target, by name: ``project_id``, ``network:project_id``; None
if there is none."""


def nothing(name: str) -> None:
    """What there is to read where there is no target."""


class PolicyNotAuthorized(exceptions.NotAuthorized):
    """Neutron's name for it."""

    message = "rule:%(rule)s is disallowed by policy"

    def __init__(self, rule: str) -> None:
        super().__init__(rule=rule)
        self.rule = rule


class PolicyFileError(ConfigError):
    """What is wrong with the operator's file."""


class Who(NamedTuple):
    """What rules know of the caller."""

    project_id: str
    user_id: str
    roles: frozenset[str]
    is_admin: bool


class Policy:
    """The rules, and what they decide.

    ``defaults`` are the features'. ``file`` is the operator's: NAME: CHECK in YAML. It is read
    again when it has changed; while it cannot be read, what was read before counts. Errors:
    PolicyFileError, if it cannot be read at first.
    """

    def __init__(self, defaults: Iterable[policy.RuleDefault] = (), file: str = "") -> None:
        self.defaults = {rule.name: rule for rule in (*BASE, *defaults)}
        self._file = file
        self._enforcer = _enforcer({})
        self._attributes: dict[str, Mapping[str, str]] = {}
        self._reads = lru_cache(REMEMBERED)(self._names)
        self._decided = lru_cache(REMEMBERED)(self._decide)
        self.overridden: Mapping[str, str] = {}
        """The operator's rules, as text."""
        self._seen = runtime.file_stamp(file)
        self._adopt(self._given() if file else {})

    # --- what is asked -----------------------------------------------------------------------

    def recognised(self, context: Context) -> Context:
        """``context``, with whether the rules say that it is an administrator's. The operator's
        file is looked at here: once a request."""
        self._refresh()
        return replace(context, is_admin=self.allows(context, ADMIN_RULE))

    def refused(self, context: Context, rules: tuple[str, ...], read: Read) -> frozenset[str]:
        """Those of ``rules`` that do not let the caller do what they are about. ``read`` is asked
        for what the rules want to know of the target."""
        who = _who(context)
        values = tuple(map(read, self._reads(rules, who)))
        try:
            return self._decided(rules, who, values)
        except TypeError:  # a value that is no key: a list
            return self._decide(rules, who, values)

    def allows(self, context: Context, rule: str, read: Read = nothing) -> bool:
        return not self.refused(context, (rule,), read)

    def check(self, context: Context, rule: str, read: Read = nothing) -> None:
        """Errors: PolicyNotAuthorized."""
        if not self.allows(context, rule, read):
            raise PolicyNotAuthorized(rule=rule)

    def check_any(self, context: Context, rule: str) -> None:
        """For what has no target: it is the caller's own project's. Errors: PolicyNotAuthorized."""
        self.check(context, rule, {"project_id": context.project_id}.get)

    def knows(self, rule: str) -> bool:
        return rule in self._enforcer.rules

    def attributes(self, rule: str) -> Mapping[str, str]:
        """The rules of single attributes (``RULE:NAME``) and of parts of them
        (``RULE:NAME:PART``), with what they are about."""
        try:
            return self._attributes[rule]
        except KeyError:
            start = f"{rule}:"
            found = {n: n[len(start) :] for n in self._enforcer.rules if n.startswith(start)}
            return self._attributes.setdefault(rule, found)

    def decisions(self) -> int:
        """How many have been made since the rules changed."""
        return self._decided.cache_info().misses

    def text(self, rule: str) -> str:
        """What a rule says, in one line."""
        return str(self._enforcer.rules[rule])

    def terms(self, rule: str) -> list[str]:
        """The alternatives of a rule, of which one is enough."""
        check = self._enforcer.rules[rule]
        return [str(one) for one in (check.rules if isinstance(check, checks.OrCheck) else [check])]

    # --- deciding ----------------------------------------------------------------------------

    def _decide(self, rules: tuple[str, ...], who: Who, values: tuple[Any, ...]) -> frozenset[str]:
        pairs = zip(self._reads(rules, who), values, strict=True)
        target = {name: value for name, value in pairs if value is not None}
        creds, ask = _creds(who), checks.RuleCheck
        return frozenset(r for r in rules if not ask("rule", r)(target, creds, self._enforcer))

    def _names(self, rules: tuple[str, ...], who: Who) -> tuple[str, ...]:
        """What rules read of their target to tell whether this caller may."""
        creds = _creds(who)
        found = (self._settled(checks.RuleCheck("rule", rule), creds)[1] for rule in rules)
        return tuple(sorted(set().union(*found)))

    def _settled(self, check: Any, creds: dict[str, Any]) -> tuple[bool | None, set[str]]:
        """What a check says of whatever target, or None; and what it reads of the target then."""
        if isinstance(check, checks.RuleCheck):
            rule = self._enforcer.rules.get(check.match)
            return (False, set()) if rule is None else self._settled(rule, creds)
        if isinstance(check, checks.NotCheck):
            said, names = self._settled(check.rule, creds)
            return None if said is None else not said, names
        if isinstance(check, checks.AndCheck | checks.OrCheck):
            enough = isinstance(check, checks.OrCheck)
            parts = [self._settled(each, creds) for each in check.rules]
            if any(said is enough for said, _ in parts):
                return enough, set()
            depends = any(said is None for said, _ in parts)
            return None if depends else not enough, set().union(*(names for _, names in parts))
        if isinstance(check, FieldCheck):
            return None, {check.name}
        if isinstance(check, checks.RoleCheck | checks.TrueCheck | checks.FalseCheck):
            return bool(check({}, creds, self._enforcer)), set()
        return None, {*_NAMED(check.match)}

    # --- the operator's file -----------------------------------------------------------------

    def _refresh(self) -> None:
        stamp = runtime.file_stamp(self._file) if self._file else ()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._adopt(self._given())
            LOG.info("%s is read anew: it changes %d rules", self._file, len(self.overridden))
        except PolicyFileError as error:
            LOG.error("%s; the rules stay as they are", error)

    def _given(self) -> dict[str, str]:
        try:
            with open(self._file, encoding="utf-8") as file:
                given = policy.parse_file_contents(file.read())
        except (OSError, ValueError) as error:
            raise self._wrong(str(error)) from error
        if not isinstance(given, dict):
            raise self._wrong("it must be lines of NAME: CHECK")
        for name, text in given.items():
            if not isinstance(name, str) or not isinstance(text, str):
                raise self._wrong(f"{name}: a check is a text; put it in quotes")
        return given

    def _wrong(self, what: str) -> PolicyFileError:
        return PolicyFileError(f"[oslo_policy] policy_file {self._file}: {what}")

    def _adopt(self, given: dict[str, str]) -> None:
        """Errors: PolicyFileError; then nothing has changed."""
        rules = {name: rule.check for name, rule in self.defaults.items()}
        for name, text in given.items():
            try:
                check = policy.RuleDefault(name, text).check
            except (ValueError, re.error) as error:
                raise self._wrong(f"{name}: {error}") from error
            if "!" in str(check) and "!" not in text:  # what cannot be read forbids
                raise self._wrong(f"{name}: '{text}' is not a check")
            rules[name] = check
        for name in given:
            reached = _reached(rules, name)
            for other in reached - rules.keys():
                hint = did_you_mean(other, rules)
                raise self._wrong(f"{name}: there is no rule {other}{hint}")
            if name in reached:
                raise self._wrong(f"{name}: the rule refers to itself")
        used = {other for check in rules.values() for other in _referred(check)}
        for name in given.keys() - self.defaults.keys() - used:
            hint = did_you_mean(name, self.defaults)
            LOG.warning("%s", self._wrong(f"nobody asks for the rule {name}{hint}"))
        self._enforcer, self.overridden = _enforcer(rules), given
        self._reads.cache_clear()
        self._attributes.clear()
        self._decided.cache_clear()


def _who(context: Context) -> Who:
    return Who(context.project_id, context.user_id, context.roles, context.is_admin)


def _creds(who: Who) -> dict[str, Any]:
    """The caller, as oslo.policy's checks know callers."""
    creds = {"user_id": who.user_id, "roles": sorted(who.roles), "is_admin": who.is_admin}
    if who.project_id:  # who is of no project owns nothing, not even what is of none
        creds |= {"project_id": who.project_id, "tenant_id": who.project_id}
    return creds


_NAMED = re.compile(r"%\((.*?)\)s").findall


def _enforcer(rules: dict[str, checks.BaseCheck]) -> policy.Enforcer:
    enforcer = policy.Enforcer(cfg.ConfigOpts(), use_conf=False)
    enforcer.set_rules(rules)
    return enforcer


def _leaves(check: checks.BaseCheck | None) -> Iterator[checks.Check]:
    """The single checks that a check is made of."""
    if isinstance(check, checks.NotCheck):
        yield from _leaves(check.rule)
    elif isinstance(check, checks.AndCheck | checks.OrCheck):
        for each in check.rules:
            yield from _leaves(each)
    elif isinstance(check, checks.Check):
        yield check


def _referred(check: checks.BaseCheck | None) -> Iterator[str]:
    """The rules that a check names."""
    return (leaf.match for leaf in _leaves(check) if isinstance(leaf, checks.RuleCheck))


def _reached(rules: Mapping[str, checks.BaseCheck], rule: str) -> set[str]:
    """The rules that a rule names, and those that these name."""
    found, ahead = set[str](), [rule]
    while ahead:
        named = {*_referred(rules.get(ahead.pop()))} - found
        found |= named
        ahead += named
    return found
