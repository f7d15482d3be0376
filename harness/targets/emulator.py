"""The emulator as a target: its gateway as a child process over real HTTP, its queue and pipeline in this process.

The only module of the suite that knows the emulator's insides. It runs them; it is never asked what to expect.
"""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from harness.conformance.outcome import SubjectForm
from harness.conformance.profiles import metering_plugins, profiles
from harness.plugin_config.config_file import ConfigFile, FoundPlugin
from harness.plugin_config.entity import Reference
from harness.plugin_config.lint.linter import lint
from harness.plugin_config.lint.rule import LintContext
from harness.targets.admin_api import AdminApi
from harness.targets.limits import NO_LIMITS
from harness.targets.process import VerbProcess
from harness.targets.scratch_folder import ScratchFolder
from harness.targets.target import Capability, PluginOptions, Stop, TargetUnavailableError
from plugin_emulator.conditions import compile_condition
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway.exchange_facts import kept_out
from plugin_emulator.metering_and_billing.config import load_config
from plugin_emulator.metering_and_billing.pipeline import Outcome, Pipeline
from plugin_emulator.metering_plugins import simulate_schedule

_SIGNALS: Mapping[Stop, signal.Signals] = {
    "graceful": signal.SIGQUIT,
    "fast": signal.SIGTERM,
    "kill": signal.SIGKILL,
}

#: msgspec builds what it knows of a type on first use, and two threads at once make it crash.
_IN_PROCESS = threading.Lock()

#: By plugin: what a scenario leaves out when it is linted, written so that lint has nothing to say about it.
_LINTED: Mapping[str, Mapping[str, Any]] = {
    "metering-and-billing": {
        "ingest_endpoint": "https://us.api.konghq.com/v3/openmeter/events",
        "api_token": Reference("AUTH_TOKEN"),
        "queue": {"max_batch_size": 100},
    },
    "amberflo": {
        "apiKey": Reference("AMBERFLO_KEY"),
        "meterApiName": "kong-api-calls",
        "customerHeader": "x-customer-id",
        "debug": False,
    },
}

_EMPTY_STATE = '_format_version: "3.0"\n'


def simulate(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Run a queue schedule in virtual time (forms of ``kong-metering simulate``)."""
    with _IN_PROCESS:
        return simulate_schedule(dict(schedule))


def pipeline_events(
    plugin_entity: Mapping[str, Any],
    exchanges: Sequence[Mapping[str, Any]],
    gateway: str,
    subject_form: SubjectForm = "username",
) -> list[dict[str, Any]]:
    """Return for each exchange ``{"events": […], "dropped": null | {"rule", "reason"}}``.

    ``gateway`` is a version such as ``3.16``. Endpoint and token, which the pipeline does not use, may be left out.
    """
    config = {"ingest_endpoint": "http://127.0.0.1/events", "api_token": "none", **plugin_entity.get("config", {})}
    pipeline = Pipeline(load_config(config, gateway), gateway=gateway, subject_form=subject_form)
    text = plugin_entity.get("condition")
    condition = None if text is None else compile_condition(text, gateway)
    results: list[dict[str, Any]] = []
    for data in exchanges:
        with _IN_PROCESS:
            exchange = msgspec.convert(data, Exchange)
        condition_drop = None if condition is None else kept_out(condition, exchange)
        outcome = pipeline.events(exchange) if condition_drop is None else Outcome([], condition_drop)
        drop = outcome.drop
        results.append(
            {
                "events": list(outcome.events),
                "dropped": None if drop is None else {"rule": drop.rule, "reason": drop.reason},
            }
        )
    return results


def _as_file(state: Mapping[str, Any]) -> str:
    """Return a configuration as a state file in which nothing is to be filled in from the environment."""
    return json.dumps(state, ensure_ascii=False).replace("${{", "\\u0024{{")


def _linted(plugin: Mapping[str, Any]) -> Mapping[str, Any]:
    profile = metering_plugins().get(plugin["name"])
    return {} if profile is None else _LINTED[profile.plugin]


class EmulatorTarget:
    """One emulated gateway. ``profile`` (``kong-3.16``, ``amberflo-0.2``) says which version it plays.

    ``proxy_port`` 0 is a free port, another one at each start; any other stays the same across restarts.
    ``subject_form`` is how it names Consumers.
    """

    name = "emulator"
    genuine = False
    clock_tolerance = 0.0
    limits = NO_LIMITS
    capabilities: frozenset[Capability] = frozenset(
        {"proxy", "simulate", "exchanges", "restart", "log", "advice", "plugin_options"}
    )

    def __init__(self, profile: str, proxy_port: int = 0, subject_form: SubjectForm = "username") -> None:
        self.version = profiles()[profile].gateway
        self._proxy_port = proxy_port
        self._subject_form: SubjectForm = subject_form
        self._process: VerbProcess | None = None
        self._directory: ScratchFolder | None = None
        self._proxy = ""
        self._admin = AdminApi("")
        self._plugins: frozenset[str] = frozenset()
        self._state: Mapping[str, Any] = {}
        self._plugin_options: PluginOptions = {}
        # What an ended process has logged since the state was applied, and where in the present one's log that was.
        self._logged: list[str] = []
        self._log_mark = 0

    @property
    def proxy_url(self) -> str:
        """Base URL of the proxy."""
        return self._proxy

    def start(self) -> None:
        """Start the gateway on free ports. Raises TargetUnavailableError."""
        self._directory = ScratchFolder()
        self._start_process()

    def _start_process(self) -> None:
        assert self._directory is not None
        # Its configuration is there before it listens: nobody is told that there is no such Route.
        config = self._directory.path / "kong.yml"
        config.touch(0o600)
        config.write_text(_as_file(self._state) if self._state else _EMPTY_STATE, encoding="utf-8")
        options = ["--echo-upstream", "--admin-port", "0", "--proxy-port", str(self._proxy_port), "--json"]
        options += ["--config", str(config), "--gateway", self.version, "--subject-form", self._subject_form]
        for plugin, given in self._plugin_options.items():
            for name, value in given.items():
                options += ["--plugin-option", f"{plugin}.{name}={value}"]
        self._process = VerbProcess("gateway", options)
        ready = self._process.start()
        try:
            self._proxy, self._admin = str(ready["proxy"]).rstrip("/"), AdminApi(str(ready["admin"]))
        except KeyError as error:
            raise TargetUnavailableError(f"the gateway process did not say where its {error.args[0]} is") from None

    def stop(self) -> None:
        """End the gateway."""
        if self._process is not None:
            self._process.stop()
        if self._directory is not None:
            self._directory.close()
            self._directory = None

    def set_plugin_options(self, options: PluginOptions) -> None:
        """Start the gateway process anew when plugins were made with other options; what was queued is lost."""
        if options == self._plugin_options:
            return
        self._plugin_options, self._state = options, {}
        if self._process is not None:
            self._process.stop()
            self._start_process()

    def apply(self, state: Mapping[str, Any]) -> None:
        """Load ``state`` through the Admin API. Raises ConfigurationRefusedError, TargetUnavailableError."""
        mark = self._process.error_bytes if self._process is not None else 0
        self._load(state)
        self._state, self._logged, self._log_mark = state, [], mark

    def restart(self, how: Stop) -> None:
        """Stop the gateway process by the signal Kong's master takes, and start another with the same state."""
        assert self._process is not None
        self._process.end(_SIGNALS[how])
        self._logged += self._process.error_lines(self._log_mark)
        self._log_mark = 0
        self._start_process()

    def freeze(self, seconds: float) -> None:
        """Stop the gateway process where it is, and have it go on after ``seconds``."""
        assert self._process is not None
        self._process.freeze(seconds)
        if not self._process.running:
            raise TargetUnavailableError(self._process.why_gone())

    def log_lines(self) -> list[str]:
        """Return what the gateway has logged since the last ``apply``."""
        return self._logged + (self._process.error_lines(self._log_mark) if self._process is not None else [])

    def _load(self, state: Mapping[str, Any]) -> None:
        with self._telling_of_its_end():
            self._admin.load(state)
        self._plugins = frozenset(str(plugin.get("id")) for plugin in state.get("plugins", ()))

    def settle(self, seconds: float) -> None:
        """Return when the queues of the plugins applied last are empty and idle, or after ``seconds``."""
        with self._telling_of_its_end():
            self._admin.settled(self._plugins, seconds)

    def idle(self) -> bool:
        """Return whether every queue is empty, those of plugins that a later configuration removed too."""
        with self._telling_of_its_end():
            return self._admin.idle()

    def queue_statistics(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the counters of each plugin instance, by id, since the process began."""
        with self._telling_of_its_end():
            return self._admin.metering() or {}

    def simulate(self, schedule: Mapping[str, Any]) -> dict[str, Any]:
        """Run a queue schedule in virtual time."""
        return simulate(schedule)

    def advice(self, plugins: Sequence[Mapping[str, Any]]) -> list[str]:
        """Return the ids of the lint rules that have something to say about plugin entities of one file."""
        found = tuple(
            FoundPlugin({**plugin, "config": {**_linted(plugin), **plugin.get("config", {})}}, "scenario", {})
            for plugin in plugins
        )
        with _IN_PROCESS:
            findings = lint([ConfigFile("scenario", "deck", found)], LintContext(self.version))
        return [finding.rule for finding in findings]

    def pipeline_events(
        self, plugin: Mapping[str, Any], exchanges: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """Return the events of each exchange, or why there are none."""
        return pipeline_events(plugin, exchanges, self.version, self._subject_form)

    @contextmanager
    def _telling_of_its_end(self) -> Iterator[None]:
        """An Admin API that does not answer is explained by the process's end, if that is why."""
        try:
            yield
        except TargetUnavailableError:
            if self._process is not None and not self._process.running:
                raise TargetUnavailableError(self._process.why_gone()) from None
            raise
