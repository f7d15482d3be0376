"""Reading state files: what they become, and what is refused with which place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugin_emulator.conditions import compile_condition
from plugin_emulator.documents import Document, InvalidDocument, parse_document, pointer_text
from plugin_emulator.gateway.entities import GatewayState
from plugin_emulator.gateway.entity_forms import entity_id
from plugin_emulator.gateway.key_auth_config import KeyAuthConfig
from plugin_emulator.gateway.state_file import load_state, read_state
from plugin_emulator.metering_and_billing.config import GATEWAY_VERSIONS, AttributeSource, MeteringConfig

SAMPLES = Path(__file__).parents[2] / "fixtures" / "kong"
HEAD = '_format_version: "3.0"\n'
METERING = "{name: metering-and-billing, config: {api_token: t, ingest_endpoint: 'http://h/x'}}"


def loaded(text: str, environ: Mapping[str, str] | None = None, gateway: str = "3.16") -> GatewayState:
    return load_state(parse_document(HEAD + text, "kong.yml"), environ=environ or {}, gateway=gateway)


def problems(
    text: str, environ: Mapping[str, str] | None = None, gateway: str = "3.16"
) -> list[tuple[int | None, str, str]]:
    """Return (line below the head, pointer, message) of each problem."""
    with pytest.raises(InvalidDocument) as error:
        loaded(text, environ, gateway)
    assert all(problem.hint and problem.file == "kong.yml" for problem in error.value.problems)
    return [
        (None if problem.line is None else problem.line - 1, pointer_text(problem.pointer), problem.message)
        for problem in error.value.problems
    ]


def metering_config(state: GatewayState) -> MeteringConfig:
    (config,) = [plugin.config for plugin in state.plugins if isinstance(plugin.config, MeteringConfig)]
    return config


# --------------------------------------------------------------------------------------------- the tutorials


@pytest.mark.parametrize("gateway", GATEWAY_VERSIONS)
def test_the_consumer_tutorial_becomes_its_service_route_consumer_and_plugins(gateway: str) -> None:
    state = read_state(SAMPLES / "consumer-tutorial.yaml", {"DECK_AUTH_TOKEN": "spat_1"}, gateway)
    (service,), (route,), (alice,), (credential,) = state.services, state.routes, state.consumers, state.credentials
    assert (service.name, service.protocol, service.host, service.port, service.path) == (
        "example-service",
        "http",
        "httpbin.konghq.com",
        80,
        "/anything",
    )
    assert (route.name, route.paths, route.service, route.strip_path) == (
        "example-route",
        ("/anything",),
        service,
        True,
    )
    assert (alice.username, credential.key, credential.consumer) == ("alice", "alice-key", alice)
    key_auth, metering = state.plugins
    assert key_auth.config == KeyAuthConfig()
    assert (key_auth.service, metering.service) == (service, service)
    assert isinstance(metering.config, MeteringConfig)
    assert metering.config.api_token == "spat_1"
    assert metering.config.meter_ai_token_usage is False
    assert state.warnings == ()


def test_the_tenant_tutorial_meters_globally_by_header_without_authentication() -> None:
    state = read_state(SAMPLES / "tenant-header-tutorial.yaml", {"DECK_AUTH_TOKEN": "t"})
    (metering,) = state.plugins
    assert (metering.service, metering.route, metering.consumer) == (None, None, None)
    assert metering_config(state).subject.field == "x-tenant-id"


def test_the_department_sample_captures_two_headers() -> None:
    state = read_state(SAMPLES / "department-attributes.yaml", {"DECK_AUTH_TOKEN": "t"})
    assert metering_config(state).attributes == (
        AttributeSource("header", "x-department", "department"),
        AttributeSource("header", "x-project", "project"),
    )


# --------------------------------------------------------------------------------------------- entities


def test_names_give_the_ids_kong_derives_without_a_database() -> None:
    assert entity_id("services", "example-service") == "7a267194-6123-5ee0-a1c9-4c1559eb0d95"
    assert entity_id("routes", "example-route") == "eeb325b8-afd4-5ba2-a113-c34eeb969c1d"
    assert entity_id("consumers", "alice") == "b32379d9-3d28-5683-a79c-72139be6e34f"


def test_a_given_id_is_kept_and_unnamed_entities_have_ids_of_their_own() -> None:
    text = """
services:
- {name: a, host: h, id: 11111111-2222-3333-4444-555555555555}
routes:
- {paths: [/a]}
- {paths: [/b]}
"""
    state = loaded(text)
    assert state.services[0].id == "11111111-2222-3333-4444-555555555555"
    assert state.routes[0].id != state.routes[1].id
    assert loaded(text) == state


def test_nested_and_flat_entities_become_the_same_state() -> None:
    nested = loaded(f"""
services:
- name: s
  url: http://h
  routes:
  - name: r
    paths: [/r]
    plugins: [{METERING}]
  plugins: [{{name: key-auth}}]
consumers:
- username: alice
  keyauth_credentials: [{{key: k, id: 11111111-2222-3333-4444-555555555555}}]
""")
    flat = loaded(f"""
services: [{{name: s, url: "http://h"}}]
routes: [{{name: r, paths: [/r], service: {{name: s}}}}]
consumers: [{{username: alice}}]
keyauth_credentials: [{{key: k, id: 11111111-2222-3333-4444-555555555555, consumer: alice}}]
plugins:
- {{name: key-auth, service: {{id: {entity_id("services", "s")}}}}}
- {METERING[:-1]}, route: r}}
""")
    assert (nested.services, nested.routes, nested.consumers, nested.credentials) == (
        flat.services,
        flat.routes,
        flat.consumers,
        flat.credentials,
    )
    assert set(nested.plugins) == set(flat.plugins)


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://h", ("http", "h", 80, None)),
        ("https://h", ("https", "h", 443, None)),
        ("https://h:8443/base", ("https", "h", 8443, "/base")),
        ("http://127.0.0.1:18100/", ("http", "127.0.0.1", 18100, "/")),
        ("http://[::1]:81/x", ("http", "[::1]", 81, "/x")),
    ],
)
def test_a_services_url_is_shorthand_for_protocol_host_port_and_path(
    url: str, address: tuple[str, str, int, str | None]
) -> None:
    (service,) = loaded(f"services: [{{name: s, url: '{url}'}}]").services
    assert (service.protocol, service.host, service.port, service.path) == address


def test_a_service_and_a_route_keep_every_field_given() -> None:
    state = loaded("""
services:
- {name: s, protocol: https, host: h, port: 8080.0, path: /b, retries: 0, connect_timeout: 1, read_timeout: 2,
   write_timeout: 3, tags: [x], enabled: false, tls_verify: null}
routes:
- {name: r, service: s, protocols: [https], methods: [GET], hosts: ["*.example.com"],
   paths: [/a, "~/b/(?<id>\\\\d+)$"],
   headers: {X-Version: [v1, v2]}, strip_path: false, preserve_host: true, regex_priority: 5,
   https_redirect_status_code: 301, request_buffering: false, response_buffering: false, tags: [y]}
""")
    (service,), (route,) = state.services, state.routes
    assert (service.protocol, service.port, service.path, service.retries, service.enabled) == (
        "https",
        8080,
        "/b",
        0,
        False,
    )
    assert (service.connect_timeout, service.read_timeout, service.write_timeout, service.tags) == (1, 2, 3, ("x",))
    assert (route.protocols, route.methods, route.hosts) == (("https",), ("GET",), ("*.example.com",))
    assert route.paths == ("/a", "~/b/(?<id>\\d+)$")
    assert route.headers == (("x-version", ("v1", "v2")),)
    assert (route.strip_path, route.preserve_host, route.regex_priority) == (False, True, 5)
    assert (route.https_redirect_status_code, route.request_buffering, route.response_buffering) == (
        301,
        False,
        False,
    )


def test_what_tools_write_for_themselves_is_tolerated_and_select_tags_are_added() -> None:
    state = loaded("""
_info: {select_tags: [team-a]}
_konnect: {control_plane_name: cp}
_transform: true
_comment: hello
_workspace: default
upstreams: []
services: [{name: s, host: h, tags: [x]}]
""")
    assert state.services[0].tags == ("x", "team-a")


def test_key_auth_settings_reach_their_typed_form() -> None:
    (plugin,) = loaded("""
consumers: [{username: guest}]
plugins:
- name: key-auth
  config: {key_names: [x-key, k], key_in_header: false, key_in_query: false, key_in_body: true,
           hide_credentials: true, anonymous: guest, realm: my realm, run_on_preflight: false}
""").plugins
    assert plugin.config == KeyAuthConfig(("x-key", "k"), False, False, True, True, "guest", "my realm", False)


def test_no_key_and_no_token_is_in_a_repr() -> None:
    state = loaded(f"""
consumers: [{{username: a, keyauth_credentials: [{{key: key-4711}}]}}]
plugins: [{METERING.replace("api_token: t", "api_token: tok-4711")}]
""")
    assert "4711" not in repr(state)


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("servicess: []", [(1, "/servicess", "unknown kind of entity 'servicess'")]),
        ("\nupstreams: [{name: x}]", [(2, "/upstreams", "entities of kind 'upstreams' are not emulated")]),
        (
            "_plugin_configs: {a: {}}",
            [(1, "/_plugin_configs", "entities of kind '_plugin_configs' are not emulated")],
        ),
        ("_info: {defaults: {service: {retries: 1}}}", [(1, "/_info/defaults", "is not emulated")]),
        ("services:\n- name: s\n  host: h\n  nope: 1", [(4, "/services/0/nope", "unknown field 'nope'")]),
        ("services:\n- name: s", [(2, "/services/0/host", "required field is missing")]),
        ("services: {a: b}", [(1, "/services", "expected a list, got an object")]),
        ("services: [5]", [(1, "/services/0", "expected an object, got a number")]),
        ("services: [{host: h, port: 70000}]", [(1, "/services/0/port", "expected a value between 0 and 65535")]),
        ("services: [{host: h, retries: x}]", [(1, "/services/0/retries", "expected an integer, got a string")]),
        ("services: [{host: h, name: a/b}]", [(1, "/services/0/name", "is not in the form expected")]),
        (
            "services: [{host: h, tls_verify: true}]",
            [(1, "/services/0/tls_verify", "field 'tls_verify' is not emulated")],
        ),
        ("services: [{url: 'tcp://h'}]", [(1, "/services/0/url", "is not an absolute http(s) URL")]),
        ("services: [{host: h, routes: 5}]", [(1, "/services/0/routes", "expected a list, got a number")]),
        ("routes: [{name: r}]", [(1, "/routes/0", "matches on nothing")]),
        ("routes: [{paths: [x]}]", [(1, "/routes/0/paths/0", "is not in the form expected")]),
        ("routes: [{paths: ['~/(']}]", [(1, "/routes/0/paths/0", "is not a regular expression")]),
        ("routes: [{methods: [get]}]", [(1, "/routes/0/methods/0", "is not in the form expected")]),
        ("routes: [{hosts: ['a.*.b']}]", [(1, "/routes/0/hosts/0", "is not in the form expected")]),
        ("routes: [{headers: {Host: [x]}}]", [(1, "/routes/0/headers/Host", "cannot be matched as a header")]),
        ("routes: [{headers: {x: y}}]", [(1, "/routes/0/headers/x", "expected a list of values, got a string")]),
        ("routes: [{paths: [/], snis: [x]}]", [(1, "/routes/0/snis", "field 'snis' is not emulated")]),
        ("routes: [{paths: [/], service: nope}]", [(1, "/routes/0/service", "there is no service 'nope'")]),
        ("consumers: [{tags: [x]}]", [(1, "/consumers/0", "has neither username nor custom_id")]),
        (
            "consumers: [{username: a, acls: [{group: x}]}]",
            [(1, "/consumers/0/acls", "field 'acls' is not emulated")],
        ),
        ("keyauth_credentials: [{key: k}]", [(1, "/keyauth_credentials/0/consumer", "required field is missing")]),
        (
            "keyauth_credentials: [{key: k, consumer: bob}]",
            [(1, "/keyauth_credentials/0/consumer", "there is no consumer 'bob'")],
        ),
        ("plugins: [{name: rate-limiting}]", [(1, "/plugins/0/name", "plugin 'rate-limiting' is not emulated")]),
        ("plugins: [{name: key-aut}]", [(1, "/plugins/0/name", "unknown plugin 'key-aut'")]),
        (
            "plugins: [{name: key-auth, config: {key_name: [k]}}]",
            [(1, "/plugins/0/config/key_name", "unknown field 'key_name'")],
        ),
        (
            "plugins: [{name: key-auth, config: {key_names: ['a b']}}]",
            [(1, "/plugins/0/config/key_names/0", "is not in the form expected")],
        ),
        (
            "plugins: [{name: key-auth, ordering: {before: {access: [x]}}}]",
            [(1, "/plugins/0/ordering", "field 'ordering' is not emulated")],
        ),
        (
            "consumers: [{username: a, plugins: [{name: key-auth}]}]",
            [(1, "/consumers/0/plugins/0", "key-auth cannot be limited to a consumer")],
        ),
        (
            "services: [{name: s, host: h, plugins: [{name: key-auth, service: s}]}]",
            [(1, "/services/0/plugins/0/service", "is given by the service it stands in")],
        ),
    ],
)
def test_what_is_not_understood_is_refused_with_its_line_and_place(
    text: str, expected: list[tuple[int, str, str]]
) -> None:
    assert problems(text) == expected


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("", "required field is missing"),
        ("_format_version: 3.0", "expected a string, got a number"),
        ('_format_version: "4.0"', "expected one of: 1.1, 2.1, 3.0"),
    ],
)
def test_the_format_version_is_required_and_a_known_string(version: str, message: str) -> None:
    with pytest.raises(InvalidDocument) as error:
        load_state(parse_document(f"services: []\n{version}\n"), environ={})
    assert [problem.message for problem in error.value.problems] == [message]


@pytest.mark.parametrize("version", ["1.1", "2.1", "3.0"])
def test_each_format_version_of_kong_is_read(version: str) -> None:
    assert load_state(parse_document(f'_format_version: "{version}"'), environ={}) == GatewayState()


@pytest.mark.parametrize("text", ["", "[]", "5", "just text"])
def test_a_file_that_holds_no_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidDocument, match="expected an object"):
        load_state(parse_document(text), environ={})


def test_cnd_5_a_condition_is_compiled_in_the_language_of_the_gateway_version() -> None:
    text = f"plugins:\n- {METERING[:-1]},\n   condition: 'http.path ^= \"/v1\"'}}"
    assert problems(text) == [
        (3, "/plugins/0/condition", "is no CEL expression: unexpected '^' at line 1, column 11")
    ]
    (plugin,) = loaded(text, gateway="3.14").plugins
    assert plugin.condition == compile_condition('http.path ^= "/v1"', "3.14")
    assert plugin.condition != compile_condition('http.path == "/v1"', "3.16")


@pytest.mark.parametrize("plugin", [METERING, "{name: key-auth}"])
def test_cnd_5_the_condition_of_either_plugin_is_refused_with_its_line_when_it_is_none(plugin: str) -> None:
    text = f"plugins:\n- {plugin[:-1]},\n   condition: 'http.method =='}}"
    assert problems(text) == [
        (3, "/plugins/0/condition", "is no CEL expression: unexpected end at line 1, column 15")
    ]


def test_a_condition_that_is_null_is_none_and_an_empty_one_is_refused() -> None:
    text = f"plugins: [{METERING[:-1]}, condition: ~}}]"
    assert loaded(text).plugins[0].condition is None
    assert problems(text.replace("~", "''")) == [(1, "/plugins/0/condition", "is empty")]


def test_cfg_7_the_gateway_version_decides_which_fields_there_are() -> None:
    text = f"plugins: [{METERING[:-2]}, allow_status_codes: ['200-299']}}}}]"
    assert metering_config(loaded(text)).allow_status_codes == ((200, 299),)
    assert problems(text, gateway="3.15") == [
        (1, "/plugins/0/config/allow_status_codes", "field 'allow_status_codes' does not exist in gateway 3.15")
    ]


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("services: [{name: s, host: h}, {name: s, host: g}]", "/services/1/name"),
        ("routes: [{name: r, paths: [/]}, {name: r, paths: [/x]}]", "/routes/1/name"),
        ("consumers: [{username: a}, {username: a, custom_id: x}]", "/consumers/1/username"),
        ("consumers: [{username: a, custom_id: x}, {custom_id: x}]", "/consumers/1/custom_id"),
        (
            "consumers: [{username: a, keyauth_credentials: [{key: k}]},"
            " {username: b, keyauth_credentials: [{key: k}]}]",
            "/consumers/1/keyauth_credentials/0/key",
        ),
        (
            "services: [{host: h, id: 11111111-2222-3333-4444-55555555555a},"
            " {host: g, id: 11111111-2222-3333-4444-55555555555A}]",
            "/services/1/id",
        ),
        (f"plugins: [{METERING}, {METERING}]", "/plugins/1"),
        (
            "services: [{name: s, host: h, plugins: [{name: key-auth}]}]\nplugins: [{name: key-auth, service: s}]",
            "/plugins/0",
        ),
    ],
)
def test_what_is_declared_twice_is_refused_with_the_place_of_the_first(text: str, pointer: str) -> None:
    ((_, place, message),) = problems(text)
    assert place == pointer
    assert "already" in message
    assert "line" in message


def test_the_same_plugin_on_different_scopes_is_no_duplicate() -> None:
    state = loaded(f"""
services: [{{name: s, host: h, plugins: [{METERING}]}}]
routes: [{{name: r, paths: [/], service: s, plugins: [{METERING}]}}]
consumers: [{{username: a, plugins: [{METERING}]}}]
plugins: [{METERING}, {METERING[:-1]}, route: r, consumer: a}}]
""")
    scopes = {
        tuple(part is not None for part in (plugin.service, plugin.route, plugin.consumer))
        for plugin in state.plugins
    }
    assert len(state.plugins) == len({plugin.id for plugin in state.plugins}) == 5
    assert scopes == {
        (True, False, False),
        (False, True, False),
        (False, False, True),
        (False, False, False),
        (False, True, True),
    }


def test_all_problems_of_a_file_are_reported_in_its_order() -> None:
    found = problems("""plugins:
- name: nope
- name: key-auth
  service: gone
services:
- name: s
  port: 1
routes:
- paths: [/]
  service: s
""")
    assert [(line, place) for line, place, _ in found] == [
        (2, "/plugins/0/name"),
        (4, "/plugins/1/service"),
        (6, "/services/0/host"),
    ]


def test_an_anonymous_consumer_that_is_not_there_is_warned_of() -> None:
    (warning,) = loaded("plugins: [{name: key-auth, config: {anonymous: ghost}}]").warnings
    assert pointer_text(warning.pointer) == "/plugins/0/config/anonymous"


# --------------------------------------------------------------------------------------------- anything at all


def test_a_file_that_is_not_there_or_not_text_is_one_clear_problem(tmp_path: Path) -> None:
    with pytest.raises(InvalidDocument, match="cannot be read: No such file"):
        read_state(tmp_path / "gone.yml", {})
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidDocument, match="not UTF-8"):
        read_state(tmp_path / "binary.yml", {})


_NAMES = st.sampled_from(
    [
        "services",
        "routes",
        "consumers",
        "plugins",
        "keyauth_credentials",
        "name",
        "id",
        "username",
        "url",
        "host",
        "paths",
        "headers",
        "service",
        "route",
        "consumer",
        "config",
        "tags",
        "key",
        "nope",
        "_info",
        "condition",
    ]
)
_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(
        ["a", "", "/", "~/(", "key-auth", "metering-and-billing", "http://h", "{vault://env/x}", "x\ny"]
    )
)
_DATA = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(_NAMES, _DATA, max_size=5))
def test_whatever_a_document_holds_it_loads_or_is_refused(data: dict[str, Any]) -> None:
    document = Document({"_format_version": "3.0", **data}, {(): 1}, "kong.yml")
    try:
        state = load_state(document, environ={})
    except InvalidDocument as error:
        assert error.problems
    else:
        assert isinstance(state, GatewayState)
