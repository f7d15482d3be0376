"""The catalogue of rules: what each id says, where it comes from, and for which profiles it holds."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.conformance.profiles import default_plugin, of_plugin, profiles
from plugin_emulator.documents import did_you_mean, read_document

#: The profiles of the plugin that is meant where none is named, one for each gateway version, oldest first.
PROFILES = of_plugin(default_plugin())
DEFAULT_PROFILE = PROFILES[-1]

#: Provenances that are a reading or a choice of ours: a real gateway that differs is a finding, not a failure.
UNSETTLED = frozenset({"assumed", "disputed"})

_CATALOGUE = Path(__file__).with_name("rules.yaml")
_ID = re.compile(r"([A-Z]{3})-(\d+)")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``provenance`` is a subset of doc, src, pdk, disputed, assumed, ours."""

    id: str
    text: str
    provenance: tuple[str, ...]
    profiles: tuple[str, ...]

    @property
    def group(self) -> str:
        """The letters before the dash: ``DRP`` of ``DRP-1``."""
        return self.id.partition("-")[0]

    @property
    def unsettled(self) -> bool:
        """Whether nothing public settles the rule, so that a real gateway may rightly differ."""
        return not UNSETTLED.isdisjoint(self.provenance)


def rule_order(rule_id: str) -> tuple[str, int]:
    """Sort key of a rule id that puts DLV-10 after DLV-9."""
    group, _, number = rule_id.partition("-")
    return group, int(number) if number.isdigit() else 0


@functools.cache
def catalogue() -> Mapping[str, Rule]:
    """Return every rule by id, in the order of the catalogue."""
    rules: dict[str, Rule] = {}
    for rule_id, entry in read_document(_CATALOGUE).data.items():
        if not _ID.fullmatch(rule_id):
            raise ValueError(f"{_CATALOGUE}: {rule_id!r} is not a rule id")
        provenance = tuple(word.strip() for word in entry["from"].split(","))
        rules[rule_id] = Rule(rule_id, entry["rule"], provenance, _profiles(entry))
    return rules


def _profiles(entry: Mapping[str, str]) -> tuple[str, ...]:
    """Return the profiles that a rule holds for: of its plugin, those from one gateway version to another."""
    versions = {name: profiles()[name].gateway for name in of_plugin(entry.get("plugin", default_plugin()))}
    of_gateways = list(versions.values())
    first = of_gateways.index(entry["since"]) if "since" in entry else 0
    last = of_gateways.index(entry["until"]) if "until" in entry else len(of_gateways) - 1
    return tuple(versions)[first : last + 1]


def rules_of(profile: str) -> list[Rule]:
    """Return the rules that hold for ``profile``, in catalogue order."""
    return [rule for rule in catalogue().values() if profile in rule.profiles]


def select(words: Iterable[str]) -> set[str]:
    """Return the ids meant by ``words``, each a rule id or a group's letters, in any letter case.

    Raises ValueError, its text one line for the user, when a word is neither.
    """
    known = catalogue()
    groups = {rule.group for rule in known.values()}
    chosen: set[str] = set()
    for raw in words:
        word = raw.strip().upper()
        if word in known:
            chosen.add(word)
        elif word in groups:
            chosen.update(rule.id for rule in known.values() if rule.group == word)
        else:
            near = did_you_mean(word, [*groups, *known])
            hint = f"did you mean {near}?" if near else "conformance --list shows all"
            raise ValueError(f"no rule or group is called {raw.strip()!r}; {hint}")
    return chosen
