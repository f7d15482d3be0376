"""The child process of the self-check: runs scenarios against whatever emulator it finds, and prints verdicts.

One JSON line comes in on standard input: ``emulator`` (the folder it must have been found in), ``profile``,
``subject_form``, ``ports`` of the shared ingest endpoint, scenario files to run ``first`` and ``then``, ``gateways``
side by side, ``patience`` in seconds. One JSON line a scenario goes out. When standard input closes, everything ends.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

import plugin_emulator
from harness.conformance.outcome import ScenarioFinished
from harness.conformance.pool import Pool, StartedEndpoint
from harness.conformance.runner import Order
from harness.conformance.scenario import Scenario, read_scenario
from harness.conformance.subject_form import FormsOfRun
from harness.targets.emulator import EmulatorTarget
from harness.targets.fake_ingest import IngestLanes, IngestPorts
from harness.targets.target import TargetUnavailableError


def main() -> None:
    """Run what standard input asks for."""
    order = json.loads(sys.stdin.readline())
    found = Path(next(iter(plugin_emulator.__path__))).resolve()
    if not found.is_relative_to(Path(order["emulator"]).resolve()):
        sys.exit(f"the emulator was found in {found}, not in {order['emulator']}")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    ports = msgspec.convert(order["ports"], IngestPorts)
    pool = Pool(
        lambda: EmulatorTarget(order["profile"]),
        lambda: StartedEndpoint(IngestLanes(ports), lambda: None),
        order["gateways"],
        Order(order["profile"], subject_form=order["subject_form"]),
    )
    forms = FormsOfRun() if order["subject_form"] == "auto" else None
    try:
        # The rest waits until the first are done: mostly they settle it, and it is not even read.
        for files in (order["first"], order["then"]):
            scenarios = _scenarios(files, order["patience"])
            futures = pool.submit_all(scenarios, in_order=True)
            if forms is not None:  # which form comes first must not be for chance to say
                for scenario in scenarios:
                    _print(_verdict(forms.judged(scenario, futures[scenario.id].result())[0]))
                continue
            for future in as_completed(futures.values()):
                _print(_verdict(future.result()))
        _print({"finished": True})
    except TargetUnavailableError as error:
        _print({"unavailable": str(error)})
    finally:
        pool.close()


def _scenarios(files: Iterable[str], patience: float) -> list[Scenario]:
    """Read scenarios; none of them waits longer than ``patience`` seconds for what is expected."""
    scenarios: list[Scenario] = []
    for file in files:
        scenario = read_scenario(Path(file))
        if scenario.kind == "traffic":
            within = min(scenario.patience, max(patience, scenario.expect.get("within", 0.0)))
            scenario = replace(scenario, expect={**scenario.expect, "within": within})
        scenarios.append(scenario)
    return scenarios


def _verdict(finished: ScenarioFinished) -> dict[str, Any]:
    messages: dict[str, str] = {}
    checks: dict[str, set[str]] = {}
    for failure in finished.failures:
        details = "; ".join(
            f"{one.field}: {one.expected} expected, {one.received} seen" for one in failure.differences
        )
        for rule in failure.rules:
            checks.setdefault(rule, set()).update(failure.checks)
            messages.setdefault(rule, f"{failure.message} ({details})" if details else failure.message)
    return {
        "scenario": finished.id,
        "verdict": finished.verdict.value,
        "reason": finished.reason,
        "messages": messages,
        "checks": {rule: sorted(found) for rule, found in checks.items()},
    }


def _print(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def _end_with_parent() -> None:
    """Nobody is left to tell when standard input closes: end with all that was started."""
    sys.stdin.read()
    if os.getpgrp() == os.getpid():  # the self-check starts it so
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
