"""Scripts for the Admin API and Konnect: secrets stay out of sight, and any text arrives as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from curl_stand_in import (
    CONFIG,
    ENVIRONMENT,
    KONNECT_TOKEN,
    TOKEN,
    Api,
    base,
    each_api,
    each_awk,
    each_shell,
    metering,
    needs_curl,
    path_of,
    running_api,
    script,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugin_entities import any_text, entities_of_any_text

from harness.plugin_config.entity import PluginEntity, Reference, Value
from harness.plugin_config.formats.format import CannotExpress

quick = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api")) as api:
        yield api


@pytest.fixture
def api_server(server: Api) -> Api:
    server.forget()
    return server


# Secrets.


@needs_curl
@each_shell
@each_api
def test_gen_3_no_token_is_in_the_arguments_of_a_process_nor_in_what_is_printed(
    api_server: Api, shell: list[str], api: str
) -> None:
    done = api_server.run(script(api, metering(scope={"service": None}), **base(api, api_server)), shell)
    assert done.returncode == 0, done.stderr
    assert len(api_server.arrived) == 1
    seen = api_server.arguments() + done.stdout + done.stderr
    assert "--data-binary" in seen
    assert "created: POST" in done.stdout
    assert TOKEN not in seen
    assert KONNECT_TOKEN not in seen


@needs_curl
@each_api
def test_a_literal_secret_is_in_no_argument_either(api_server: Api, api: str) -> None:
    entity = metering(config={**CONFIG, "api_token": TOKEN})
    done = api_server.run(script(api, entity, **base(api, api_server), literal_secrets=True), AUTH_TOKEN=None)
    assert done.returncode == 0, done.stderr
    assert api_server.arrived[0].body["config"]["api_token"] == TOKEN
    assert TOKEN not in api_server.arguments() + done.stdout + done.stderr


@needs_curl
@each_shell
@each_api
@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a_variable_that_is_not_set_stops_the_script_by_name_before_anything_is_sent(
    api_server: Api, shell: list[str], api: str, value: str | None
) -> None:
    konnect = api == "konnect-api"
    text = script(api, [metering(), metering(scope={"route": None})], **base(api, api_server))
    needed = ["AUTH_TOKEN", "SUBJECT_HEADER", "ROUTE_ID" if konnect else "ROUTE"]
    needed += ["KONNECT_TOKEN", "KONNECT_REGION", "CONTROL_PLANE_ID"] if konnect else []
    for name in needed:
        done = api_server.run(text, shell, **{name: value})
        assert done.returncode != 0
        assert f"{name}: set this variable to " in done.stderr
        assert TOKEN not in done.stderr
    assert api_server.arrived == []


@needs_curl
@each_shell
@pytest.mark.parametrize("token", ["a b", "a\nX-Injected: 1", "a\r", "a\tb", "a\x01"])
def test_a_token_with_white_space_sends_no_header_of_its_own(api_server: Api, shell: list[str], token: str) -> None:
    done = api_server.run(script("konnect-api", metering()), shell, KONNECT_TOKEN=token)
    assert done.returncode == 1
    assert "KONNECT_TOKEN holds white space" in done.stderr
    assert token not in done.stderr
    assert api_server.arrived == []


def test_a_place_with_a_name_of_any_text_does_not_get_into_the_shell() -> None:
    entity = PluginEntity("amberflo", {"dimensionHeaders": {'$(touch x)"`': Reference("A")}})
    assert ': "${A:?set this variable to what config is to hold}"' in script("admin-api", entity)


# Values.


def sent(entity: PluginEntity) -> dict[str, Any]:
    optional = {name: getattr(entity, name) for name in ("instance_name", "condition", "ordering", "id")}
    body: dict[str, Any] = {"name": entity.name, "config": entity.config, "tags": list(entity.tags)}
    body |= {name: value for name, value in optional.items() if value is not None}
    if not entity.enabled:
        body["enabled"] = False
    if entity.protocols != ("grpc", "grpcs", "http", "https"):
        body["protocols"] = list(entity.protocols)
    return body


@needs_curl
@each_shell
@each_api
@pytest.mark.parametrize("as_documented", [False, True], ids=["safe", "as documented"])
def test_gen_1_and_gen_2_any_text_in_any_field_arrives_as_it_is(
    server: Api, shell: list[str], api: str, as_documented: bool
) -> None:
    @quick
    @given(entities_of_any_text)
    def check(entities: list[PluginEntity]) -> None:
        server.arrived.clear()
        options = {"region": "eu", "control_plane": ENVIRONMENT["CONTROL_PLANE_ID"], **base(api, server)}
        done = server.run(script(api, entities, as_documented=as_documented, **options), shell)
        assert (done.returncode, done.stderr.replace("\r", "")) == (0, done.stderr if as_documented else "")
        assert len(server.arrived) == len(entities)
        for arrived, entity in zip(server.arrived, entities, strict=True):
            assert arrived.body == sent(entity)
            scope = "".join(f"/{kind}s/{name}" for kind, name in entity.scope.items())
            assert unquote(arrived.path) == path_of(api, scope)
            assert arrived.path.count("/") == path_of(api, "/a/b" if entity.scope else "").count("/")

    check()


@needs_curl
@each_shell
@each_awk
def test_gen_2_any_text_in_the_environment_arrives_as_it_is(server: Api, shell: list[str], awk: list[str]) -> None:
    @quick
    @given(st.lists(any_text.filter(bool), min_size=20, max_size=20))
    def check(texts: list[str]) -> None:
        server.arrived.clear()
        config: dict[str, Value] = {f"field{n}": Reference(f"VALUE{n}") for n in range(10)}
        config["attributes"] = [{"look_up_value_in": Reference(f"VALUE{n}", secret=False)} for n in range(10, 20)]
        text = script("admin-api", metering(config=config), admin_url=server.url)
        done = server.run(text, shell, awk, **{f"VALUE{n}": value for n, value in enumerate(texts)})
        assert (done.returncode, done.stderr) == (0, "")
        (arrived,) = server.arrived
        assert [arrived.body["config"][f"field{n}"] for n in range(10)] == texts[:10]
        assert [each["look_up_value_in"] for each in arrived.body["config"]["attributes"]] == texts[10:]

    check()


@needs_curl
@each_shell
@each_awk
def test_any_name_in_a_variable_of_the_scope_is_one_part_of_the_path(
    server: Api, shell: list[str], awk: list[str]
) -> None:
    @quick
    @given(any_text.filter(lambda text: text not in ("", ".", "..")))
    def check(name: str) -> None:
        server.arrived.clear()
        text = script("admin-api", metering(scope={"service": None, "consumer": None}), admin_url=server.url)
        done = server.run(text, shell, awk, SERVICE=name, CONSUMER_ID=name)
        assert (done.returncode, done.stderr) == (0, "")
        (arrived,) = server.arrived
        assert unquote(arrived.path) == f"/services/{name}/plugins/"
        assert arrived.path.count("/") == 4
        assert arrived.body["consumer"] == {"id": name}

    check()


@needs_curl
@each_shell
@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_that_a_url_takes_for_a_folder_is_refused(api_server: Api, shell: list[str], name: str) -> None:
    with pytest.raises(CannotExpress, match=r"cannot express scope\.service: .* \(give its id\)"):
        script("admin-api", metering(scope={"service": name}))
    text = script("admin-api", metering(scope={"service": None}), **base("admin-api", api_server))
    done = api_server.run(text, shell, SERVICE=name)
    assert done.returncode == 1
    assert "give the id" in done.stderr
    assert api_server.arrived == []


@needs_curl
@each_shell
@each_api
def test_a_value_of_a_megabyte_arrives(api_server: Api, shell: list[str], api: str) -> None:
    long = ("é\\'$`" + "x" * 95) * 10_000
    done = api_server.run(script(api, metering(config={"field": long}), **base(api, api_server)), shell)
    assert done.returncode == 0, done.stderr
    assert api_server.arrived[0].body["config"] == {"field": long}


@needs_curl
def test_a_variable_as_long_as_an_environment_holds_arrives(api_server: Api) -> None:
    value = '"\\\n\t' * 30_000
    done = api_server.run(script("admin-api", metering(), **base("admin-api", api_server)), AUTH_TOKEN=value)
    assert done.returncode == 0, done.stderr
    assert api_server.arrived[0].body["config"]["api_token"] == value


@needs_curl
@each_shell
def test_as_documented_what_fits_an_argument_is_sent_and_what_does_not_is_refused_by_name(
    api_server: Api, shell: list[str]
) -> None:
    def text(size: int) -> str:
        entity = metering(config={"queue": {"field": "x" * size}})
        return script("admin-api", entity, as_documented=True, **base("admin-api", api_server))

    overhead = text(1000).partition("--data '")[2].rpartition("'")[0]
    most = 128 * 1024 - 1 - (len(overhead) - 1000)
    assert api_server.run(text(most), shell).returncode == 0
    assert len(api_server.arrived[0].body["config"]["queue"]["field"]) == most
    with pytest.raises(CannotExpress, match=r"config\.queue\.field: .*128 KiB \(leave out --as-documented\)"):
        text(most + 1)
