"""mitmproxy's messages on bytes that are no HTTP quote them, and with them what may be a token."""

from __future__ import annotations

import logging
import re

#: Who writes the messages on a client's connection.
_SOURCE = "mitmproxy.proxy.server"
_QUOTED = re.compile(r"""\bb(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def add() -> None:
    """Leave out of mitmproxy's messages what they quote of a connection's bytes."""
    logging.getLogger(_SOURCE).addFilter(_without_quotes)


def remove() -> None:
    """Let the messages be as they are again."""
    logging.getLogger(_SOURCE).removeFilter(_without_quotes)


def _without_quotes(record: logging.LogRecord) -> bool:
    message = record.getMessage()
    shown = _QUOTED.sub("[not shown]", message)
    if shown != message:
        record.msg, record.args = shown, ()
    return True
