"""Hooks, options and fixtures. What they need is imported when a fixture is first used: pytest starts without it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.pytest_metering.gateway import Gateway
    from harness.pytest_metering.gateway_process import GatewayProcess
    from harness.pytest_metering.ingest import Ingest
    from harness.pytest_metering.ingest_process import IngestProcess
    from harness.pytest_metering.settings import Settings
    from harness.pytest_metering.usage_events import UsageEvents

_MARKER = "metering(allow_unexpected=False): events that nothing in the test looked at fail it unless allowed"

#: Options of the command line, each an ini option of the same name too.
_OPTIONS = (
    ("gateway_url", "URL", "base URL of a gateway of your own that fixture `gateway` stands for"),
    ("admin_url", "URL", "base URL of that gateway's Admin API (DB-less), to configure it"),
    ("gateway_version", "VERSION", "version that the emulated gateway plays, e.g. 3.16"),
    ("ingest_port", "PORT", "fixed port of the fake ingest endpoint; its URL is then the same in every test"),
)
_INI = (
    ("ingest_host", "address that the fake ingest endpoint listens on, and that `ingest.url` names"),
    ("token_env", "environment variable with the bearer token that the fake ingest endpoint takes"),
    ("upstream", "echo (the default): an echo server answers for every Service; real: the Services themselves"),
    ("timeout", "seconds that waiting takes at most (default 10)"),
    ("quiet", "seconds without a delivery after which a gateway of your own counts as idle (default 1.5)"),
)

_settings_key = pytest.StashKey["Settings"]()
_ingest_key = pytest.StashKey["Ingest"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini settings."""
    group = parser.getgroup("kong-metering", "usage metering")
    for name, metavar, text in _OPTIONS:
        option = f"--metering-{name.replace('_', '-')}"
        group.addoption(option, dest=f"metering_{name}", metavar=metavar, default=None, help=text)
        parser.addini(f"metering_{name}", f"same as {option}", default=None)
    for name, text in _INI:
        parser.addini(f"metering_{name}", text, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse options that cannot be meant so."""
    config.addinivalue_line("markers", _MARKER)
    if any(_given(config).values()):
        _settings(config)


def _given(config: pytest.Config) -> dict[str, str | None]:
    """Return each setting as the command line, or else the ini file, has it."""
    given = {}
    for name, *_ in (*_OPTIONS, *_INI):
        value = config.getoption(f"metering_{name}", default=None)
        given[name] = config.getini(f"metering_{name}") if value is None else value
    return given


def _settings(config: pytest.Config) -> Settings:
    from harness.pytest_metering.settings import Settings

    if _settings_key not in config.stash:
        try:
            config.stash[_settings_key] = Settings.of(_given(config))
        except ValueError as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[_settings_key]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fail a test that passed when traffic came that it should not, or did not, expect."""
    result = yield
    ingest = item.stash.get(_ingest_key, None)
    if ingest is not None:
        ingest.verify()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show with a failed test what arrived at the endpoint."""
    report = yield
    ingest = item.stash.get(_ingest_key, None)
    if ingest is not None and report.when == "call" and report.failed:
        try:
            account = ingest.account_once()
        except RuntimeError as error:  # a process of ours is gone: that must not end the run
            account = str(error)
        if account:
            report.sections.append(("metering", account))
    return report


@pytest.fixture(scope="session")
def _metering_settings(pytestconfig: pytest.Config) -> Settings:
    return _settings(pytestconfig)


@pytest.fixture(scope="session")
def _metering_ingest_process(_metering_settings: Settings) -> Iterator[IngestProcess]:
    from harness.pytest_metering.ingest_process import IngestProcess
    from harness.targets.target import TargetUnavailableError

    process = IngestProcess(_metering_settings.ingest_host, _metering_settings.ingest_port)
    try:
        process.start()
    except TargetUnavailableError as error:
        pytest.fail(f"metering: {error}", pytrace=False)
    yield process
    process.stop()


@pytest.fixture(scope="session")
def _metering_gateway_process(_metering_settings: Settings) -> Iterator[GatewayProcess]:
    from harness.pytest_metering.gateway_process import GatewayProcess

    process = GatewayProcess(_metering_settings.gateway_version, echo=_metering_settings.upstream == "echo")
    yield process
    process.stop("kill")


@pytest.fixture
def ingest(
    _metering_ingest_process: IngestProcess, _metering_settings: Settings, request: pytest.FixtureRequest
) -> Iterator[Ingest]:
    """A fake ingest endpoint of this test's own: what arrived, and what it does wrong on purpose."""
    from harness.pytest_metering.ingest import Ingest

    marker = request.node.get_closest_marker("metering")
    options = dict(marker.kwargs) if marker is not None else {}
    allow_unexpected = options.pop("allow_unexpected", False)
    if options or (marker is not None and marker.args):
        pytest.fail("metering: mark.metering takes allow_unexpected=True and nothing else", pytrace=False)
    endpoint = Ingest(_metering_ingest_process, _metering_settings, allow_unexpected=bool(allow_unexpected))
    request.node.stash[_ingest_key] = endpoint
    yield endpoint
    try:
        endpoint.verify_rest()
    finally:
        endpoint.close()


@pytest.fixture
def gateway(ingest: Ingest, _metering_settings: Settings, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    """The gateway under test: an emulated one, or the one that --metering-gateway-url names."""
    from harness.pytest_metering.gateway import EmulatedGateway, UserGateway
    from harness.targets.target import TargetUnavailableError

    under_test: Gateway
    if _metering_settings.gateway_url:
        under_test = UserGateway(_metering_settings, ingest)
    else:
        process: GatewayProcess = request.getfixturevalue("_metering_gateway_process")
        try:
            under_test = EmulatedGateway(process, _metering_settings, ingest)
        except TargetUnavailableError as error:
            pytest.fail(f"metering: {error}", pytrace=False)
    yield under_test
    under_test.close()


@pytest.fixture
def usage_events(ingest: Ingest) -> UsageEvents:
    """The events accepted in this test: a list that waits, whenever it is read, until metering is idle."""
    from harness.pytest_metering.usage_events import UsageEvents

    return UsageEvents(ingest)
