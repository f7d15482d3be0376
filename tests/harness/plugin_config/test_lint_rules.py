"""Lint rules: each finds what it is for and nothing else, and none stumbles over any value."""

from __future__ import annotations

import json
import re
import shlex
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli.main import main
from harness.plugin_config.config_file import ConfigFile, FoundPlugin
from harness.plugin_config.entity import MixedText, Reference
from harness.plugin_config.lint import json_report, plain, sarif, shared_scopes
from harness.plugin_config.lint.finding import Finding, Severity
from harness.plugin_config.lint.linter import lint
from harness.plugin_config.lint.registry import RULES, NoSuchRule, selected_rules
from harness.plugin_config.lint.rule import LintContext
from harness.plugin_config.lint.scopes import Overlap, overlap, scope_of, wins_over
from harness.plugin_config.metering_and_billing.lint_events import BUILT_IN_FIELDS
from plugin_emulator.gateway.entities import PluginInstance
from plugin_emulator.gateway.plugin_precedence import PluginPrecedence
from plugin_emulator.gateway.references import UnresolvedReference, resolve_vault_reference
from plugin_emulator.queue.settings import QueueSettings
from plugin_emulator.runtime.outage import Steady, run_steady

FIXTURES = Path(__file__).parents[3] / "fixtures" / "lint"
FILES = sorted(path for path in FIXTURES.glob("*/*") if path.is_file())
GATEWAY = "3.16"
SOUND: dict[str, Any] = {
    "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
    "api_token": Reference("AUTH_TOKEN"),
    "subject": {"look_up_value_in": "header", "field": "x-tenant-id"},
    "queue": {"max_batch_size": 100},
}


def plugin(config: Any = None, /, name: str = "metering-and-billing", **entity: Any) -> FoundPlugin:
    """Return a plugin; a metering plugin's ``config`` adds to one that lint has nothing to say about."""
    merged = {**SOUND, **(config or {})} if name == "metering-and-billing" else config or {}
    return FoundPlugin({"name": name, "config": merged, **entity}, "kong.yaml", {})


def found(*plugins: FoundPlugin, format_name: str = "deck", **context: Any) -> list[Finding]:
    return lint([ConfigFile("kong.yaml", format_name, plugins)], LintContext(GATEWAY, **context))


def rules(*plugins: FoundPlugin, format_name: str = "deck", **context: Any) -> list[str]:
    return [finding.rule for finding in found(*plugins, format_name=format_name, **context)]


def only(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, [str(finding.problem) for finding in findings]
    return findings[0]


# --------------------------------------------------------------------------------- the folder of examples


def marks(path: Path) -> list[tuple[int, str]]:
    """Return the marks ``# <- rule-id`` of a file, as (line, rule)."""
    return [
        (number, rule)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (mark := re.search(r"# <- (.*)$", line))
        for rule in mark[1].split(", ")
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_lint_finds_what_a_file_is_marked_with_and_nothing_else(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = re.search(r"^# lint: (.*)$", path.read_text(), re.MULTILINE)
    arguments = ["config", "lint", str(path), "--json", "--fail-severity", "never"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, *shlex.split(options[1] if options else "")])
    assert ended.value.code == 0
    report = json.loads(capsys.readouterr().out)
    assert sorted((finding["line"], finding["rule"]) for finding in report["findings"]) == marks(path)


def test_every_rule_has_a_file_that_triggers_it_and_one_that_does_not() -> None:
    triggered = {path.parent.name for path in FILES if path.stem == "triggers"}
    clean = {path.parent.name for path in FILES if path.stem == "clean"}
    assert triggered == clean == {rule.id for rule in RULES}
    assert {path.stem for path in FILES} == {"triggers", "clean"}
    for path in FILES:
        named = {rule for _, rule in marks(path)}
        assert (path.parent.name in named) is (path.stem == "triggers"), path


def test_rules_are_named_in_kebab_case_once_and_say_what_and_why() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)+", rule.id)
        assert rule.reason.endswith(".") and "\n" not in rule.reason
        assert rule.title.endswith(".") and rule.title != rule.id
        assert rule.basis and all(re.fullmatch(r"[A-Z]{3}-[0-9]+", each) for each in rule.basis)


def test_a_sound_configuration_has_no_findings() -> None:
    assert found(plugin()) == []


# --------------------------------------------------------------------------------- what is unknown is let be

UNKNOWN = (Reference("SOMETHING"), MixedText('https://${{ env "DECK_HOST" }}'))
EVERYWHERE = [
    "ingest_endpoint",
    "api_token",
    "meter_api_requests",
    "meter_ai_token_usage",
    "ssl_verify",
    "subject",
    "attributes",
    "queue",
]


@pytest.mark.parametrize("value", [*UNKNOWN, "{vault://env/some-thing}"], ids=["reference", "mixed", "vault"])
@pytest.mark.parametrize("field", EVERYWHERE)
def test_a_value_that_is_filled_in_later_is_neither_good_nor_bad(field: str, value: Any) -> None:
    about_vaults = {"vault-reference-needs-value", "vault-reference-not-looked-up"}
    assert set(rules(plugin({field: value, "ssl_verify": True} if field != "ssl_verify" else {field: value}))) <= (
        about_vaults if isinstance(value, str) else set()
    )


@pytest.mark.parametrize("value", UNKNOWN, ids=["reference", "mixed"])
def test_a_configuration_that_is_all_unknown_is_let_be(value: Any) -> None:
    found_plugin = FoundPlugin({"name": "metering-and-billing", "config": value}, "kong.yaml", {})
    assert rules(found_plugin, rps=1000.0) == []


def test_a_field_that_is_filled_in_later_is_not_missing() -> None:
    subject = {"look_up_value_in": "header", "field": Reference("SUBJECT_HEADER", secret=False)}
    assert rules(plugin({"subject": subject})) == []


json_scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
odd_scalars = st.sampled_from(
    [
        *(10**400, -(10**400), float("inf"), float("nan"), 1e308, True, -1, 0),
        *(
            "",
            "vault://x",
            "{vault://",
            "{vault://env/x}",
            "{vault://env/%zz/k?prefix=&a}",
            "http://[::1",
            "https://",
        ),
        *(
            "https://us.api.konghq.com:99999/",
            "https://.api.konghq.com/",
            "https://u:p@x/",
            "header",
            "query",
            "path",
        ),
        *("consumer", "application", "\ud800", "\x1b[2J"),
        *UNKNOWN,
    ]
)
json_values = st.recursive(
    json_scalars | odd_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def objects(*names: str) -> st.SearchStrategy[Any]:
    return st.dictionaries(st.sampled_from(names) | st.text(max_size=3), json_values, max_size=len(names))


configs = json_values | st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(EVERYWHERE, json_values),
        "subject": objects("look_up_value_in", "field") | json_values,
        "attributes": st.lists(objects("source", "look_up_value_in", "event_property_name"), max_size=3)
        | json_values,
        "queue": objects(*QueueSettings.__struct_fields__) | json_values,
        "logging": json_values,
        "targets": st.lists(json_values | objects("logging"), max_size=2) | json_values,
        "apiKey": json_values,
    },
)
plugins = st.builds(
    lambda name, config, entity, attached: FoundPlugin(
        {"name": name, "config": config, **entity}, "kong.yaml", {(): 1}, attached
    ),
    st.sampled_from(["metering-and-billing", "amberflo", "key-auth", "ai-proxy", "ai-proxy-advanced"]) | json_values,
    configs,
    objects("service", "route", "consumer", "consumer_group", "enabled", "tags"),
    st.booleans(),
)


@given(
    st.lists(plugins, max_size=4),
    st.sampled_from(["deck", "kic"]),
    st.none() | st.floats(min_value=1e-6, max_value=1e6),
    st.floats(min_value=0, max_value=1e6),
    st.booleans(),
)
@settings(max_examples=250, derandomize=True, deadline=None)
def test_lint_and_its_reports_take_any_value_anywhere(
    some: list[FoundPlugin], format_name: str, rps: float | None, rtt: float, together: bool
) -> None:
    """Nothing raises, every finding is of a rule, and every report can be written."""
    files = [ConfigFile("kong.yaml", format_name, tuple(some)), ConfigFile("more.yaml", "deck", tuple(some))]
    context = LintContext(GATEWAY, rps, rtt, together)
    findings = lint(files, context, RULES)
    assert {finding.rule for finding in findings} <= {rule.id for rule in RULES}
    json.dumps(json_report.report(findings, context, len(some), 2))
    json.dumps(sarif.report(findings, RULES, Path("/somewhere")))
    for line in plain.report_lines(findings, len(some), 2):
        assert line.plain.isprintable()


@pytest.mark.parametrize(
    "number",
    [10**400, -(10**400), float("inf"), float("-inf"), float("nan"), 1e300, True],
    ids=lambda number: f"{str(number)[:6]}",
)
@pytest.mark.parametrize("name", QueueSettings.__struct_fields__)
def test_a_number_beyond_all_sense_is_left_to_validation(name: str, number: Any) -> None:
    """It is neither calculated with nor compared, whatever the rate."""
    queue = {"max_batch_size": 100, name: number}
    context: dict[str, Any]
    for context in ({}, {"rps": 900.0}):
        assert set(rules(plugin({"queue": queue}), **context)) <= set(rules(plugin(), **context))


@given(
    st.text(alphabet="QXZJ", min_size=12, max_size=16),
    st.sampled_from(["{}", "vault://env/{}", "{{vault://{}", "x {{vault://env/a}} {}", "{{vault://{}}}"]),
    st.booleans(),
)
@settings(max_examples=100, derandomize=True)
def test_no_finding_quotes_a_secret(secret: str, form: str, amberflo: bool) -> None:
    text = form.format(secret)
    config = {"api_token": text, "ingest_endpoint": f"https://user:{secret}@eu-west.api.konghq.com/{secret}"}
    one = plugin({"apiKey": text}, name="amberflo") if amberflo else plugin(config)
    findings = found(one)
    assert findings
    assert secret not in repr(findings)


# --------------------------------------------------------------------------------- secrets and vaults


@pytest.mark.parametrize(
    ("text", "found_rules"),
    [
        ("", []),
        ("spat_x", ["secret-literal"]),
        ("$AUTH_TOKEN", ["secret-literal"]),
        ("vault://env/x", ["vault-reference-without-braces"]),
        (" vault://env/x", ["vault-reference-without-braces"]),
        ("{vault://env}", ["vault-reference-malformed"]),
        ("{vault://env/x", ["vault-reference-malformed"]),
        ("Bearer {vault://env/x}", ["vault-reference-malformed"]),
        ("{{vault://env/x}}", ["vault-reference-malformed"]),
        ("{ vault://env/x }", ["vault-reference-malformed"]),
        ("{vault://env/x}", ["vault-reference-needs-value"]),
        ("{vault://env/x/y?prefix=Z_}", ["vault-reference-needs-value"]),
    ],
)
def test_each_form_of_a_token_has_one_finding_at_most(text: str, found_rules: list[str]) -> None:
    assert rules(plugin({"api_token": text})) == found_rules


def test_amberflos_key_is_a_secret_too_and_no_vault_reference() -> None:
    literal = plugin({"apiKey": "k", "debug": False}, name="amberflo")
    assert rules(literal) == ["secret-literal"]
    assert "vault" not in only(found(literal)).fix
    vault = plugin({"apiKey": "{vault://env/key}", "debug": False}, name="amberflo")
    assert rules(vault) == ["vault-reference-not-looked-up"]


@pytest.mark.parametrize(
    ("reference", "variable"),
    [
        ("{vault://env/auth-token}", "AUTH_TOKEN"),
        ("{vault://env/token?prefix=kong_}", "KONG_TOKEN"),
        ("{vault://env/my-secret/token}", "MY_SECRET"),
    ],
)
def test_the_environment_variable_that_is_named_is_the_one_the_gateway_reads(reference: str, variable: str) -> None:
    assert f"the environment variable {variable}" in only(found(plugin({"api_token": reference}))).message
    assert resolve_vault_reference(reference, {variable: '{"token": "t"}'})
    with pytest.raises(UnresolvedReference):
        resolve_vault_reference(reference, {})


@pytest.mark.parametrize(
    ("reference", "needed"),
    [
        ("{vault://hcv/kong/token}", "HashiCorp Vault configured, with 'kong' in it, JSON with a member 'token'"),
        ("{vault://my-vault/token}", "a Vault entity with the prefix 'my-vault' configured, with 'token' in it"),
    ],
)
def test_another_vault_has_to_be_configured(reference: str, needed: str) -> None:
    assert only(found(plugin({"api_token": reference}))).message.endswith(needed)


def test_a_password_in_the_url_is_a_secret() -> None:
    finding = only(found(plugin({"ingest_endpoint": "https://me:pw@meter.example.com/api/v3/openmeter/events"})))
    assert (finding.rule, finding.pointer) == ("secret-literal", ("config", "ingest_endpoint"))


def test_a_token_in_place_of_the_user_of_the_url_is_a_secret() -> None:
    finding = only(found(plugin({"ingest_endpoint": "https://spat_x@meter.example.com/api/v3/openmeter/events"})))
    assert (finding.rule, finding.pointer) == ("secret-literal", ("config", "ingest_endpoint"))


# --------------------------------------------------------------------------------- the way to the endpoint


@pytest.mark.parametrize(
    ("endpoint", "found_rules"),
    [
        ("http://10.0.0.1/api/v3/openmeter/events", ["ingest-over-plain-http"]),
        ("http://127.9.9.9:8088/x", []),
        ("http://[::1]:8088/x", []),
        ("http://localhost:8088/v3/openmeter/events", []),
        ("http://meter.localhost/x", []),
        ("http://localhost.example.com/x", ["ingest-over-plain-http"]),
        ("https://US.API.konghq.com/v3/openmeter/events", []),
        ("https://us.api.konghq.com/v3/openmeter/events/", ["ingest-path-does-not-fit"]),
        ("https://us.api.konghq.com", ["ingest-path-does-not-fit"]),
        ("https://api.konghq.com/v3/openmeter/events", ["konnect-region-unknown"]),
        ("https://api.konghq.com.example.com/api/v1/events", []),
        ("https://meter.example.com/v3/openmeter/events", ["ingest-path-does-not-fit"]),
        ("https://meter.example.com/custom", []),
        ("https://cloud.konghq.com/custom", []),
        ("ftp://meter.example.com", []),
    ],
)
def test_the_endpoint_is_held_to_what_takes_events_there(endpoint: str, found_rules: list[str]) -> None:
    assert rules(plugin({"ingest_endpoint": endpoint})) == found_rules


def test_a_region_that_is_nearly_one_is_corrected() -> None:
    config = {"ingest_endpoint": "https://uss.api.konghq.com/v3/openmeter/events"}
    assert only(found(plugin(config))).fix.endswith("did you mean 'us'?")


def test_verification_does_not_matter_without_tls() -> None:
    config = {"ingest_endpoint": "http://meter.example.com/api/v3/openmeter/events", "ssl_verify": False}
    assert rules(plugin(config)) == ["ingest-over-plain-http"]
    assert rules(plugin({"ingest_endpoint": Reference("INGEST"), "ssl_verify": False})) == [
        "certificate-not-verified"
    ]


# --------------------------------------------------------------------------------- the queue


def test_the_default_queue_is_told_with_figures() -> None:
    finding = only(found(plugin({"queue": {}})))
    assert (finding.rule, finding.severity) == ("one-post-per-event", Severity.INFO)
    assert "one event in a POST of 50 ms a worker delivers at most 20 events/s" in finding.message
    assert "50 events/s" in only(found(plugin({"queue": None}), rtt=0.02)).message


@pytest.mark.parametrize(
    ("rps", "severity"), [(9.0, None), (15.0, Severity.WARNING), (20.0, Severity.WARNING), (21.0, Severity.ERROR)]
)
def test_one_post_per_event_is_as_bad_as_the_rate_makes_it(rps: float, severity: Severity | None) -> None:
    findings = found(plugin({"queue": {"max_entries": 100_000}}), rps=rps)
    assert [finding.severity for finding in findings] == ([severity] if severity else [])


@pytest.mark.parametrize("size", [1, 4])
def test_the_rate_at_which_the_queue_is_said_to_overflow_is_the_one_at_which_it_does(size: int) -> None:
    """Just below what a worker can deliver nothing is lost in virtual time, just above it events are, when told."""
    queue = {"max_batch_size": size, "max_entries": 200, "max_retry_time": 1}
    for factor in (0.95, 1.05):
        rate = factor * size / 0.05
        summary = run_steady(QueueSettings(**queue), Steady(rate, 400.0, 700, 0.05, ()))
        severities = {finding.severity for finding in found(plugin({"queue": queue}), rps=rate)}
        assert bool(sum(summary.lost.values())) is (Severity.ERROR in severities) is (factor > 1)


def test_a_window_too_short_counts_as_one_event_per_post() -> None:
    queue = {"max_batch_size": 100, "max_coalescing_delay": 0.049, "max_entries": 1_000_000}
    findings = found(plugin({"queue": queue}), rps=50.0)
    assert [(finding.rule, finding.severity) for finding in findings] == [
        ("coalescing-delay-disables-batching", Severity.WARNING),
        ("delivery-slower-than-traffic", Severity.ERROR),
    ]
    assert findings[1].pointer == ("config", "queue", "max_coalescing_delay")


def test_the_outage_that_the_queue_survives_is_told() -> None:
    queue = {"max_batch_size": 1000, "max_entries": 12_000, "max_retry_time": 600}
    message = only(found(plugin({"queue": queue}), rps=100.0)).message
    assert "10 min of retries at 100 events/s are 60,000 entries" in message
    assert "an outage of 2 min already loses events" in message
    assert rules(plugin({"queue": {**queue, "max_entries": 60_000}}), rps=100.0) == []
    assert rules(plugin({"queue": {**queue, "max_retry_time": -1}}), rps=100.0) == []


def test_without_a_queue_its_limits_are_not_spoken_of() -> None:
    assert rules(plugin({"queue": {"concurrency_limit": -1}}), rps=1000.0) == ["unlimited-concurrency"]


def test_a_byte_limit_below_a_batch_loses_events() -> None:
    assert only(found(plugin({"queue": {"max_batch_size": 100, "max_bytes": 700_000}}))).severity is Severity.WARNING
    finding = only(found(plugin({"queue": {"max_batch_size": 100, "max_bytes": 7_000}})))
    assert finding.severity is Severity.ERROR
    assert "about 10 events of 700 bytes, less than the 100 of a batch" in finding.message


# --------------------------------------------------------------------------------- subject and authentication

CONSUMER = {"subject": {"look_up_value_in": "consumer"}}


@pytest.mark.parametrize(
    ("subject", "rule"),
    [
        ({"look_up_value_in": "header"}, "subject-field-missing"),
        ({"look_up_value_in": "query", "field": None}, "subject-field-missing"),
        ({"look_up_value_in": "query", "field": ""}, "subject-field-missing"),
        ({"look_up_value_in": "consumer", "field": "x-tenant-id"}, "subject-field-without-effect"),
        ({"field": "tags"}, "subject-field-without-effect"),
        ({"look_up_value_in": "consumer", "field": "custom_id"}, None),
        ({"look_up_value_in": "application", "field": "x-app"}, "subject-field-without-effect"),
        ({"look_up_value_in": "application", "field": "name"}, None),
        ({"look_up_value_in": "application"}, None),
        ({"look_up_value_in": "query", "field": "tenant"}, None),
    ],
)
def test_the_subjects_field_fits_its_source(subject: Any, rule: str | None) -> None:
    assert rules(plugin({"subject": subject}), plugin(name="key-auth")) == ([rule] if rule else [])


@pytest.mark.parametrize("name", ["key-auth", "openid-connect", "jwt", "saml", "mtls-auth", "acme-corp-auth"])
def test_an_authentication_plugin_for_all_makes_every_consumer_known(name: str) -> None:
    assert rules(plugin(CONSUMER), plugin(name=name)) == []


@pytest.mark.parametrize("name", ["rate-limiting", "acl", "upstream-oauth"])
def test_other_plugins_make_no_consumer_known(name: str) -> None:
    assert rules(plugin(CONSUMER), plugin(name=name)) == ["consumer-without-authentication"]


@pytest.mark.parametrize(
    ("metering", "authentication", "known"),
    [
        ({"service": "a"}, {"service": "a"}, True),
        ({"service": "a"}, {"service": {"name": "a"}}, True),
        ({"service": "a"}, {"service": "b"}, False),
        ({"service": "a"}, {"service": {"id": "7fca84d6-7d37-4a74-a7b0-93e576089a41"}}, True),
        ({"service": "a"}, {"route": "r"}, True),
        ({"route": "r"}, {"service": "a"}, True),
        ({"route": "r"}, {"route": "q"}, False),
        ({}, {"service": "b"}, True),
        ({"service": "a"}, {"enabled": False}, False),
        ({"service": Reference("SERVICE_NAME", secret=False)}, {"service": "b"}, True),
    ],
)
def test_authentication_counts_where_it_may_run_for_the_same_requests(
    metering: Any, authentication: Any, known: bool
) -> None:
    """A name beside an id, or a Route beside a Service, may well be of the same requests: that is no finding."""
    findings = rules(plugin(CONSUMER, **metering), plugin(name="key-auth", **authentication))
    assert findings == ([] if known else ["consumer-without-authentication"])


def test_a_consumers_scope_needs_authentication_whatever_the_subject() -> None:
    finding = only(found(plugin(consumer="alice")))
    assert (finding.rule, finding.pointer) == ("consumer-without-authentication", ("consumer",))
    assert "never runs" in finding.message


@pytest.mark.parametrize("format_name", ["json", "kic", "terraform"])
def test_what_is_no_state_file_may_have_its_authentication_elsewhere(format_name: str) -> None:
    assert rules(plugin(CONSUMER), format_name=format_name) == []


def test_files_of_one_gateway_are_looked_at_together_when_asked() -> None:
    files = [ConfigFile("a.yaml", "deck", (plugin(CONSUMER),)), ConfigFile("b.yaml", "deck", (plugin(name="jwt"),))]
    assert [finding.rule for finding in lint(files, LintContext(GATEWAY))] == ["consumer-without-authentication"]
    assert lint(files, LintContext(GATEWAY, together=True)) == []


# --------------------------------------------------------------------------------- scopes


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ({}, {"consumer": "alice"}, Overlap.YES),
        ({"service": "a"}, {"service": "b"}, Overlap.NO),
        ({"service": "a"}, {"service": {"id": "7FCA84D6-7D37-4A74-A7B0-93E576089A41"}}, Overlap.UNKNOWN),
        ({"service": "a"}, {"route": "r"}, Overlap.ROUTE_IN_SERVICE),
        ({"service": "a"}, {"route": "r", "service": "a"}, Overlap.YES),
        ({"service": "a", "consumer": "x"}, {"route": "r", "consumer": "y"}, Overlap.NO),
        ({"consumer": {"username": "alice"}}, {"consumer": "alice"}, Overlap.YES),
        ({"service": {"id": "7FCA84D6"}}, {"service": {"id": "7fca84d6"}}, Overlap.YES),
        ({"service": Reference("A")}, {"service": "a"}, Overlap.UNKNOWN),
    ],
)
def test_scopes_meet_or_not(one: Any, other: Any, meet: Overlap) -> None:
    scopes = [scope_of(plugin(**scope)) for scope in (one, other)]
    assert overlap(*scopes) is overlap(*reversed(scopes)) is meet


def test_the_instance_said_to_win_is_the_one_that_the_gateway_runs() -> None:
    kinds = ("service", "route", "consumer")
    every = [dict.fromkeys(chosen, "it") for size in range(4) for chosen in combinations(kinds, size)]
    entity: Any = SimpleNamespace(id="it")
    for one, other in combinations(every, 2):
        instances = [
            PluginInstance(id=str(number), name="m", config=entity, **dict.fromkeys(scope, entity))
            for number, scope in enumerate((one, other))
        ]
        runs = PluginPrecedence(instances, "m").select("it", "it", "it")
        first, second = (scope_of(plugin(**scope)) for scope in (one, other))
        assert wins_over(first, second) is (runs is instances[0])
        assert wins_over(second, first) is (runs is instances[1])


def test_one_finding_names_all_that_win_over_a_plugin() -> None:
    others = [plugin(service=f"s{number}") for number in range(5)]
    finding = only(found(plugin(), *others))
    assert finding.severity is Severity.INFO
    assert finding.message.startswith("the instance on service=s0 or service=s1 or service=s2 (and 2 more) wins")


def test_thousands_of_consumers_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[object] = []

    def counted(*scopes: Any) -> Overlap:
        compared.append(scopes)
        return overlap(*scopes)

    monkeypatch.setattr(shared_scopes, "overlap", counted)
    found(plugin(), *(plugin(consumer=f"c{number}") for number in range(200)), plugin(name="key-auth"))
    assert 1 <= len(compared) < 1000


def test_that_a_consumers_instance_wins_over_a_services_is_a_warning() -> None:
    finding = only(found(plugin(service="a"), plugin(consumer="alice"), plugin(name="key-auth")))
    assert (finding.rule, finding.severity) == ("overlapping-scopes", Severity.WARNING)
    assert "consumer=alice wins" in finding.message


def test_one_scope_twice_is_told_once_as_the_error_it_is() -> None:
    finding = only(found(plugin(service="a"), plugin(service={"name": "a"})))
    assert (finding.severity, finding.scope) == (Severity.ERROR, "service=a")


def test_an_instance_that_does_not_run_takes_nothing_away() -> None:
    assert rules(plugin(), plugin(service="a", enabled=False)) == []
    assert rules(plugin(enabled=False), plugin(service="a")) == []


def test_an_object_attached_in_two_places_is_one() -> None:
    """A KongPlugin attached to a Service and a Consumer is linted once, and does not compete with itself."""
    lines = {(): 3}
    data = {"name": "metering-and-billing", "config": {**SOUND, "queue": {}}}
    twice = [FoundPlugin({**data, kind: {"name": "a"}}, "kong.yaml", lines) for kind in ("service", "consumer")]
    assert only(found(*twice, format_name="kic")).rule == "one-post-per-event"


# --------------------------------------------------------------------------------- events


def test_the_built_in_fields_are_those_of_the_events_schema() -> None:
    file = Path(sarif.__file__).parents[2] / "ingest" / "cloudevents" / "schemas" / "event.json"
    schema = json.loads(file.read_text())["$defs"]
    assert BUILT_IN_FIELDS["meter_api_requests"] == set(schema["api_request"]["properties"])
    assert BUILT_IN_FIELDS["meter_ai_token_usage"] == set(schema["llm_request"]["properties"])


def test_only_fields_of_events_that_are_made_are_taken() -> None:
    attribute = {"source": "header", "look_up_value_in": "x-model", "event_property_name": "model"}
    assert rules(plugin({"attributes": [attribute]})) == ["attribute-name-built-in"]
    assert rules(plugin({"attributes": [attribute], "meter_ai_token_usage": False})) == []


def test_every_target_of_the_advanced_ai_proxy_has_to_log_statistics() -> None:
    targets = [{"logging": {"log_statistics": True}}, {"logging": {}}, {}, {"logging": Reference("LOGGING")}]
    findings = found(plugin(), plugin({"targets": targets}, name="ai-proxy-advanced"))
    assert {finding.plugin for finding in findings} == {"ai-proxy-advanced"}
    assert [finding.pointer[:3] for finding in findings] == [("config", "targets", 1), ("config", "targets", 2)]


@pytest.mark.parametrize(
    ("metering", "proxy", "told"),
    [
        ({"meter_ai_token_usage": False}, {}, False),
        ({}, {"enabled": False}, False),
        ({}, {"service": "a"}, True),
        ({}, {}, True),
    ],
)
def test_statistics_matter_where_tokens_are_metered(metering: Any, proxy: Any, told: bool) -> None:
    findings = rules(plugin(metering), plugin({"logging": {"log_statistics": False}}, name="ai-proxy", **proxy))
    assert findings == (["ai-statistics-not-logged"] if told else [])


# --------------------------------------------------------------------------------- which rules


def test_rules_are_chosen_by_name() -> None:
    assert {rule.id for rule in RULES} - {rule.id for rule in selected_rules()} == {"konnect-built-in-ingestion"}
    assert [rule.id for rule in selected_rules(only=["nothing-metered"])] == ["nothing-metered"]
    assert [rule.id for rule in selected_rules(only=["konnect-built-in-ingestion"])] == ["konnect-built-in-ingestion"]
    assert selected_rules(enable=["konnect-built-in-ingestion"]) == RULES
    assert "nothing-metered" not in {rule.id for rule in selected_rules(disable=["nothing-metered"])}
    with pytest.raises(NoSuchRule, match="did you mean 'nothing-metered'"):
        selected_rules(disable=["nothing-meterd"])


def test_bat_7_limits_that_have_no_effect_are_not_judged() -> None:
    queue = {"max_batch_size": 100, "max_entries": 5, "max_coalescing_delay": 0.01, "max_bytes": 10}
    assert rules(plugin({"queue": {**queue, "concurrency_limit": -1}})) == ["unlimited-concurrency"]


def test_an_id_is_the_same_in_any_case() -> None:
    own = "7b5d0b8e-2b1e-4b1c-9f8e-0a3b4c5d6e7f"
    assert "overlapping-scopes" in rules(plugin(service=own), plugin(service=own.upper()))
