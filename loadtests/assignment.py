"""What locust is told by who starts it: the plan, where the gateway is, where the ledger goes, and the run's id.

The file's name is in the environment variable KONG_METERING_LOAD, so that forked workers have it too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.numbers import check_run
from loadtests.plan import LoadPlan
from plugin_emulator.documents import InvalidDocument, Problem, read_document

#: The environment variable that names the file.
VARIABLE = "KONG_METERING_LOAD"


@dataclass(frozen=True, slots=True)
class Assignment:
    """One run: ``proxy_url`` is the gateway's, ``directory`` takes the ledgers, ``run`` is the id in every number."""

    plan: LoadPlan
    proxy_url: str
    directory: Path
    run: str

    def to_json(self) -> dict[str, Any]:
        """Return the assignment as plain data."""
        return {
            "plan": self.plan.to_json(),
            "proxy_url": self.proxy_url,
            "directory": str(self.directory),
            "run": self.run,
        }

    @classmethod
    def from_json(cls, data: Any) -> Assignment:
        """Make an assignment of what :meth:`to_json` gave. Raises InvalidDocument."""
        try:
            plan, url, directory, run = (data[name] for name in ("plan", "proxy_url", "directory", "run"))
            return cls(LoadPlan.from_json(plan), str(url), Path(directory), check_run(str(run)))
        except (KeyError, TypeError):
            raise InvalidDocument([Problem("plan, proxy_url, directory and run are needed")]) from None
        except InvalidDocument:
            raise
        except ValueError as error:
            raise InvalidDocument([Problem(str(error), ("run",))]) from None

    def write(self, path: Path) -> None:
        """Write the assignment to a file. Raises OSError."""
        path.write_text(json.dumps(self.to_json(), indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Assignment:
        """Read an assignment. Raises InvalidDocument."""
        document = read_document(path)
        try:
            return cls.from_json(document.data)
        except InvalidDocument as error:
            raise InvalidDocument([document.located(problem) for problem in error.problems]) from None
