"""Lint: every rule on every metering plugin of some files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..config_file import ConfigFile
from .finding import Finding
from .registry import rules_of, selected_rules
from .rule import LintContext, LintedPlugin, Remark, Rule
from .scopes import scope_of, scope_text
from .surroundings import Surroundings


def lint(files: Sequence[ConfigFile], context: LintContext, rules: Sequence[Rule] | None = None) -> list[Finding]:
    """Return what ``rules`` (None: all that are on by default) find, file by file and from top to bottom.

    Never raises for what stands in a plugin, sound or not: what a gateway would refuse is for validation to tell.
    """
    rules = selected_rules() if rules is None else rules
    found: dict[tuple[object, ...], Finding] = {}
    for gateway in [files] if context.together else [[file] for file in files]:
        for plugin in _linted(gateway, context):
            for rule in rules_of(plugin.kind):
                if rule in rules:
                    for finding in (_finding(rule, plugin, remark) for remark in rule.check(plugin)):
                        # An object of a manifest is as many plugins as it is attached to things: once is enough.
                        same = (rule.id, finding.file, finding.line, finding.pointer, finding.message)
                        found.setdefault(same, finding)
    order = {file.file: index for index, file in enumerate(files)}
    return sorted(found.values(), key=lambda finding: (order.get(finding.file, 0), finding.line or 0))


def _linted(files: Sequence[ConfigFile], context: LintContext) -> Iterator[LintedPlugin]:
    """Yield the metering plugins of one gateway."""
    surroundings = Surroundings.of(files)
    for placed in surroundings.plugins:
        if placed.kind is not None:
            yield LintedPlugin(placed, placed.kind, surroundings, context)


def _finding(rule: Rule, linted: LintedPlugin, remark: Remark) -> Finding:
    plugin = remark.plugin or linted.plugin
    return Finding(
        rule=rule.id,
        severity=remark.severity or rule.severity,
        message=remark.message,
        reason=rule.reason,
        fix=remark.fix,
        pointer=remark.at,
        file=plugin.file,
        line=plugin.line(remark.at),
        plugin=plugin.name,
        scope=scope_text(scope_of(plugin)),
    )
