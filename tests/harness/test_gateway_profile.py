"""The profile of a run: the gateway's own unless one is asked for, and never one of another version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

import docker_engine
import pytest
from docker_engine import CHECKOUT, containers_of
from hypothesis import given
from hypothesis import strategies as st
from test_licence import licence
from test_url_target import chosen, conformance, running_gateway

from harness.conformance.rules import DEFAULT_PROFILE, PROFILES
from harness.targets.admin_api import AdminApi
from harness.targets.containers import EMULATED_LABEL, Engine
from harness.targets.docker_kong import DockerKongTarget, DockerWish
from harness.targets.gateway_image import Plugin, provide
from harness.targets.gateway_url import told_profile
from harness.targets.gateway_version import newer_than_known, profile_for
from harness.targets.licence import parse_licence
from harness.targets.target import TargetUnavailableError

SCENARIO = "cfg-7-status-codes-before-3-16"
STAND_IN = {
    "version": "3.9.1",
    "plugins": {"available_on_server": {"metering-and-billing": {"version": "1-stand-in"}}},
}


@pytest.mark.parametrize("profile", PROFILES)
@given(rest=st.sampled_from(["", ".0", ".0.1", ".2.0-rc.1", "-enterprise-edition"]))
def test_a_gateway_is_judged_by_the_profile_of_its_minor_version(profile: str, rest: str) -> None:
    version = profile.removeprefix("kong-") + rest
    assert profile_for(version, None) == profile
    for asked in PROFILES:
        if asked == profile:
            assert profile_for(version, asked) == profile
        else:
            with pytest.raises(TargetUnavailableError) as caught:
                profile_for(version, asked)
            assert f"version {version}" in str(caught.value) and f"--profile {profile}" in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("version", ["3.17.0", "3.100.1", "4.0.0"])
def test_a_gateway_newer_than_every_profile_is_judged_by_the_newest(version: str) -> None:
    assert newer_than_known(version)
    assert profile_for(version, None) == profile_for(version, PROFILES[-1]) == PROFILES[-1]
    with pytest.raises(TargetUnavailableError):
        profile_for(version, PROFILES[0])


def test_a_gateway_older_than_every_profile_is_judged_by_the_one_that_is_asked_for() -> None:
    assert profile_for("3.9.1", "kong-3.15") == "kong-3.15"
    with pytest.raises(TargetUnavailableError, match="older than every profile: say with --profile"):
        profile_for("3.9.1", None)


@pytest.mark.parametrize("version", [None, "", "unknown"])
def test_a_gateway_that_tells_no_version_is_judged_by_what_is_asked_for(version: str | None) -> None:
    assert profile_for(version, None) == DEFAULT_PROFILE
    assert profile_for(version, "kong-3.14") == "kong-3.14"
    assert not newer_than_known(version)


def test_the_stand_in_at_a_url_is_judged_as_the_plugin_it_stands_in_for_or_as_asked() -> None:
    assert told_profile(STAND_IN, None) == "kong-3.16"
    assert told_profile(STAND_IN, "kong-3.14") == "kong-3.14"


class EngineOf(Engine):
    """An engine that has one image, with its labels and variables."""

    def __init__(self, labels: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._labels, self._environment = labels, environment

    def image_labels(self, image: str) -> Mapping[str, str]:
        return self._labels

    def image_environment(self, image: str) -> Mapping[str, str]:
        return self._environment


@pytest.mark.parametrize(
    ("image", "plugin", "labels", "environment", "profile"),
    [
        ("kong/kong-gateway:3.14", None, {}, {}, "kong-3.14"),
        ("registry:5000/kong-gateway:3.15.0.2-ubuntu", None, {}, {}, "kong-3.15"),
        ("kong/kong-gateway:latest", None, {}, {"KONG_VERSION": "3.14.0.3"}, "kong-3.14"),
        ("kong/kong-gateway:3.15", None, {}, {"KONG_VERSION": "3.14.0.3"}, "kong-3.14"),
        ("kong/kong-gateway@sha256:" + "0" * 64, None, {}, {}, "kong-3.16"),
        ("registry:3.14/kong-gateway", None, {}, {}, "kong-3.16"),
        ("kong:3.9", None, {}, {"KONG_VERSION": "3.9.1"}, "kong-3.16"),
        ("kong/kong-gateway:3.14", "stand-in", {}, {}, "kong-3.16"),
        ("mine:3.14", None, {EMULATED_LABEL: "true"}, {}, "kong-3.16"),
        ("mine:1", None, {EMULATED_LABEL: "true"}, {"KONG_METERING_GATEWAY": "3.15"}, "kong-3.15"),
    ],
)
def test_the_profile_of_an_image_is_that_of_the_gateway_in_it(
    image: str, plugin: Plugin | None, labels: dict[str, str], environment: dict[str, str], profile: str
) -> None:
    found = provide(EngineOf(labels, environment), image, plugin, parse_licence(licence("2099-01-01"), "here"))
    assert found.profile(None) == profile
    played = found.emulated or found.plugin == "stand-in"
    for asked in PROFILES:
        if played or found.version is None or asked == profile:
            assert found.profile(asked) == asked
        else:
            with pytest.raises(TargetUnavailableError, match=f"judged by profile {profile}, not by {asked}"):
                found.profile(asked)


def report(directory: Path) -> dict[str, object]:
    document = json.loads((directory / "reports" / "conformance.json").read_text())
    assert isinstance(document, dict)
    return document


def test_a_gateway_at_a_url_is_judged_by_its_own_version_and_by_no_other(tmp_path: Path) -> None:
    with running_gateway(tmp_path, "--echo-upstream", "--gateway", "3.14") as places:
        where = ["--proxy-url", places["proxy"], "--admin-url", places["admin"], *chosen(SCENARIO)]
        done = conformance(*where, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 pass" in done.stdout and report(tmp_path)["profile"] == "kong-3.14"
        refused = conformance(*where, "--profile", "kong-3.16", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr == (
        "kong-metering: the gateway is version 3.14.0, which is judged by profile kong-3.14, not by kong-3.16: "
        "leave --profile out, or give --profile kong-3.14\n"
    )


def test_a_load_refuses_a_gateway_of_another_version_too(tmp_path: Path) -> None:
    verb = [sys.executable, "-m", "harness.cli.main", "load", "--target", "url", "--profile", "kong-3.15"]
    with running_gateway(tmp_path, "--gateway", "3.14") as places:
        done = subprocess.run(
            [*verb, "--proxy-url", places["proxy"], "--admin-url", places["admin"]],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert "judged by profile kong-3.14, not by kong-3.15" in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "load-runs").exists()


def test_a_container_whose_gateway_turns_out_to_be_another_version_is_refused(tmp_path: Path) -> None:
    """What an image says of itself may be wrong; the stand-in is no matter of Kong's version."""
    with running_gateway(tmp_path, "--gateway", "3.14") as places:
        for image, refused in (("kong/kong-gateway:3.16", True), ("kong:3.9", False)):
            target = DockerKongTarget("kong-3.16", DockerWish(image))
            target._admin = AdminApi(places["admin"])
            with pytest.raises(TargetUnavailableError, match="not by kong-3") if refused else nullcontext():
                target._learn_version()
            assert refused or target.version == "3.14.0"


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("profile", PROFILES)
def test_the_emulated_gateway_in_a_container_plays_the_version_of_the_profile(profile: str) -> None:
    """Its plugin takes the fields of 3.16 as that version alone, and its Admin API tells the version."""
    target = DockerKongTarget(profile, DockerWish(docker_engine.gateway_image()))
    target.start()
    try:
        assert profile_for(target.version, None) == profile
    finally:
        target.stop()
    assert containers_of(os.getpid()) == []
