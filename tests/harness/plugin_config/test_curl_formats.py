"""Scripts for the Admin API and Konnect: the vendor's blocks, scopes, what the API answers, what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from curl_stand_in import (
    ENVIRONMENT,
    KONNECT_TOKEN,
    SCOPES,
    SENT_CONFIG,
    TOKEN,
    VENDOR_ADMIN,
    VENDOR_BODY,
    VENDOR_KONNECT,
    Api,
    base,
    each_api,
    each_shell,
    metering,
    needs_curl,
    path_of,
    running_api,
    script,
)

from harness.plugin_config.entity import MixedText, PluginEntity, Reference
from harness.plugin_config.formats.format import CannotExpress


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api_server(server: Api) -> Api:
    server.forget()
    return server


# The vendor's blocks.


@pytest.mark.parametrize(
    ("scope", "admin", "konnect"),
    [
        ({}, "", ""),
        ({"service": None}, "/services/{serviceName|Id}", "/services/{serviceId}"),
        ({"route": None}, "/routes/{routeName|Id}", "/routes/{routeId}"),
        ({"consumer": None}, "/consumers/{consumerName|Id}", "/consumers/{consumerId}"),
    ],
)
def test_gen_5_the_vendors_blocks_come_out_to_the_letter_but_for_indentation(
    scope: dict[str, str | None], admin: str, konnect: str
) -> None:
    for api, head, path in (("admin-api", VENDOR_ADMIN, admin), ("konnect-api", VENDOR_KONNECT, konnect)):
        text = script(api, metering(scope=scope), as_documented=True)
        assert [line.strip() for line in text.splitlines()] == (head.format(path=path) + VENDOR_BODY).splitlines()


@needs_curl
@each_shell
@each_api
@pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])
def test_gen_5_both_forms_post_the_vendors_data_for_every_scope(
    api_server: Api, shell: list[str], api: str, as_documented: bool
) -> None:
    text = script(
        api, [metering(scope=scope) for scope in SCOPES], as_documented=as_documented, **base(api, api_server)
    )
    for placeholder, value in (
        ("{serviceName|Id}", "it-s"),
        ("{routeName|Id}", "it-s"),
        ("{consumerName|Id}", "it-s"),
        *[(f"{{{kind}Id}}", "it-s") for kind in ("service", "route", "consumer")],
        ("{region}", "eu"),
        ("{controlPlaneId}", ENVIRONMENT["CONTROL_PLANE_ID"]),
    ):
        text = text.replace(placeholder, value)
    done = api_server.run(text, shell)
    assert done.returncode == 0, done.stderr
    scopes = ("", "/services/it-s", "/routes/it-s", "/consumers/it-s")
    assert [arrived.path for arrived in api_server.arrived] == [path_of(api, scope) for scope in scopes]
    for arrived in api_server.arrived:
        assert arrived.method == "POST"
        assert arrived.body == {"name": "metering-and-billing", "config": SENT_CONFIG, "tags": []}
        assert arrived.headers["accept"] == arrived.headers["content-type"] == "application/json"
        assert arrived.headers.get("authorization") == (f"Bearer {KONNECT_TOKEN}" if api == "konnect-api" else None)


@each_shell
@each_api
@pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])
def test_every_shell_can_parse_the_scripts_as_they_are(
    tmp_path: Path, shell: list[str], api: str, as_documented: bool
) -> None:
    entities = [metering(scope=scope, tags=("it's", '`a` $(b) ${c} \\ " !', "é")) for scope in SCOPES]
    path = tmp_path / "script.sh"
    path.write_text(script(api, entities, as_documented=as_documented), encoding="utf-8")
    parsed = subprocess.run([*shell, "-n", str(path)], capture_output=True, text=True, check=False)
    assert (parsed.returncode, parsed.stderr) == (0, "")


# What the API answers.


@needs_curl
@each_shell
@each_api
@pytest.mark.parametrize("status", [301, 400, 401, 409, 500])
def test_a_refused_post_ends_the_script_with_what_the_api_says(
    api_server: Api, shell: list[str], api: str, status: int
) -> None:
    api_server.statuses += [201, status]
    done = api_server.run(script(api, [metering()] * 3, **base(api, api_server)), shell)
    assert done.returncode != 0
    assert str(status) in done.stderr
    if status >= 400:
        assert '{"message":"schema violation"}' in done.stderr
    assert done.stdout.count("created") == len(done.stdout.splitlines()) == 1
    assert len(api_server.arrived) == 2


@needs_curl
@each_shell
def test_an_api_that_is_not_there_ends_the_script(api_server: Api, shell: list[str]) -> None:
    done = api_server.run(script("admin-api", metering(), admin_url="http://127.0.0.1:1"), shell)
    assert done.returncode == 7  # curl: could not connect
    assert "curl: (7)" in done.stderr
    assert done.stdout == ""


@needs_curl
@each_shell
def test_a_missing_awk_ends_the_script_before_anything_is_sent(api_server: Api, shell: list[str]) -> None:
    text = script("admin-api", metering(), **base("admin-api", api_server)).replace("awk 'BEGIN", "no-awk 'BEGIN")
    done = api_server.run(text, shell)
    assert done.returncode != 0
    assert api_server.arrived == []


@each_api
@pytest.mark.parametrize("as_documented", [False, True])
@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"config": {"subject": {"field": "a\0b"}}}, "config.subject.field"),
        ({"config": {"a\0b": 1}}, "config"),
        ({"config": {"attributes": [{"source": "\ud800"}]}}, "config.attributes.0.source"),
        ({"config": {"delay": float("nan")}}, "config.delay"),
        ({"config": {"delay": float("inf")}}, "config.delay"),
        ({"config": {"ingest_endpoint": MixedText("https://${HOST}/")}}, "config.ingest_endpoint"),
        ({"tags": ("a", "\0")}, "tags.1"),
        ({"condition": "\udfff"}, "condition"),
        ({"instance_name": "\0"}, "instance_name"),
        ({"scope": {"consumer": "a\0"}}, "scope.consumer"),
        ({"scope": {"consumer": "\ud800"}}, "scope.consumer"),
        ({"scope": {"service": "x" * 9000}}, "scope.service"),
        ({"config": {"field": Reference("RANDOM")}}, "config.field"),
    ],
)
def test_what_cannot_be_sent_is_refused_by_name(
    api: str, as_documented: bool, fields: dict[str, Any], place: str
) -> None:
    with pytest.raises(CannotExpress) as refused:
        script(api, metering(**fields), as_documented=as_documented)
    assert refused.value.field == place
    assert str(refused.value).startswith(f"{api} cannot express {place}: ")


# Scopes and places.

UUID = "7fca84d6-7d37-4a74-a7b0-93e576089a41"


@needs_curl
@pytest.mark.parametrize(
    ("scope", "path", "named"),
    [
        ({"consumer": "alice", "service": "orders"}, "/services/orders", {"consumer": {"username": "alice"}}),
        ({"route": "r", "service": UUID}, f"/services/{UUID}", {"route": {"name": "r"}}),
        ({"route": "r", "consumer": UUID}, "/routes/r", {"consumer": {"id": UUID}}),
        (
            {"service": "s", "route": UUID, "consumer": "c"},
            "/services/s",
            {"route": {"id": UUID}, "consumer": {"username": "c"}},
        ),
        ({"service": None, "route": None}, "/services/it-s", {"route": {"id": "it-s"}}),
        ({"consumer": "a b/c?d#é%2F;"}, "/consumers/a%20b%2Fc%3Fd%23%C3%A9%252F%3B", {}),
    ],
)
def test_a_combination_is_posted_below_the_first_and_names_the_others(
    api_server: Api, scope: dict[str, str | None], path: str, named: dict[str, object]
) -> None:
    done = api_server.run(script("admin-api", metering(scope=scope), **base("admin-api", api_server)))
    assert done.returncode == 0, done.stderr
    (arrived,) = api_server.arrived
    assert arrived.path == f"{path}/plugins/"
    assert {name: arrived.body[name] for name in ("service", "route", "consumer") if name in arrived.body} == named


def test_konnect_takes_a_second_scope_by_id_only() -> None:
    with pytest.raises(CannotExpress, match=r"konnect-api cannot express scope\.consumer: .* \(give its id\)"):
        script("konnect-api", metering(scope={"service": "orders", "consumer": "alice"}))
    assert '"consumer": {\n    "id"' in script("konnect-api", metering(scope={"service": "orders", "consumer": UUID}))


@needs_curl
def test_each_open_scope_has_a_variable_of_its_own(api_server: Api) -> None:
    entities = [
        metering(scope={"service": None}, config={"field": Reference("SERVICE")}),
        metering(scope={"service": None}, config={}),
    ]
    text = script("admin-api", entities, **base("admin-api", api_server))
    done = api_server.run(text, SERVICE="value", SERVICE_2="orders", SERVICE_3="payments")
    assert done.returncode == 0, done.stderr
    assert [arrived.path for arrived in api_server.arrived] == [
        "/services/orders/plugins/",
        "/services/payments/plugins/",
    ]
    assert api_server.arrived[0].body["config"] == {"field": "value"}


@needs_curl
def test_both_plugins_are_created_in_their_order(api_server: Api) -> None:
    amberflo = PluginEntity("amberflo", {"apiKey": Reference("AUTH_TOKEN"), "meterApiName": "calls", "batchSize": 20})
    done = api_server.run(script("admin-api", [metering(), amberflo], **base("admin-api", api_server)))
    assert done.returncode == 0, done.stderr
    assert [arrived.body["name"] for arrived in api_server.arrived] == ["metering-and-billing", "amberflo"]
    assert api_server.arrived[1].body["config"] == {"apiKey": TOKEN, "meterApiName": "calls", "batchSize": 20}


@needs_curl
@pytest.mark.parametrize("as_documented", [False, True])
@pytest.mark.parametrize("prefix", ["", "/", "/kong-admin/", "/a&b;c'(d)*!"])
def test_the_admin_url_may_have_a_path(api_server: Api, prefix: str, as_documented: bool) -> None:
    text = script("admin-api", metering(), admin_url=api_server.url + prefix, as_documented=as_documented)
    done = api_server.run(text)
    assert done.returncode == 0, done.stderr
    assert [arrived.path for arrived in api_server.arrived] == [f"{prefix.rstrip('/')}/plugins/"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://admin:secret@localhost:8001", "a password in it"),
        ("http://localhost:8001/?a=b", "characters"),
        ("http://localhost:8001/$(id)", "characters"),
        ('http://localhost:8001/"', "characters"),
        ("http://localhost:8001/\n", "characters"),
    ],
)
def test_an_admin_url_that_no_script_can_hold_is_refused(url: str, reason: str) -> None:
    with pytest.raises(CannotExpress, match=f"admin-api cannot express admin_url: .*{reason}") as refused:
        script("admin-api", metering(), admin_url=url)
    assert "secret" not in str(refused.value)


@needs_curl
@each_shell
@pytest.mark.parametrize("as_documented", [False, True])
def test_region_and_control_plane_may_be_given(api_server: Api, shell: list[str], as_documented: bool) -> None:
    text = script("konnect-api", metering(), region="us", control_plane="a/b c", as_documented=as_documented)
    done = api_server.run(text, shell, KONNECT_REGION=None, CONTROL_PLANE_ID=None)
    assert done.returncode == 0, done.stderr
    (arrived,) = api_server.arrived
    assert arrived.path == "/us.api.konghq.com/v2/control-planes/a%2Fb%20c/core-entities/plugins/"


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"region": "us.example/"}, "region"),
        ({"control_plane": ".."}, "control_plane"),
        ({"control_plane": ""}, "control_plane"),
    ],
)
def test_a_region_or_control_plane_that_is_none_is_refused(options: dict[str, str], place: str) -> None:
    with pytest.raises(CannotExpress) as refused:
        script("konnect-api", metering(), **options)
    assert refused.value.field == place


@needs_curl
@each_shell
def test_a_region_in_a_variable_cannot_name_another_host(api_server: Api, shell: list[str]) -> None:
    text = script("konnect-api", metering())
    done = api_server.run(text, shell, KONNECT_REGION=f"127.0.0.1:{api_server.port}/x")
    assert done.returncode == 1
    assert "KONNECT_REGION is no region" in done.stderr
    assert api_server.arrived == []


@each_api
@pytest.mark.parametrize("as_documented", [False, True])
def test_gen_4_the_same_entities_give_the_same_bytes(api: str, as_documented: bool) -> None:
    entities = [metering(scope=scope) for scope in SCOPES]
    assert script(api, entities, as_documented=as_documented) == script(api, entities, as_documented=as_documented)
