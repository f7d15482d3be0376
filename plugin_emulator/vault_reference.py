"""References to secrets, in the place of the secret."""

from __future__ import annotations

import re

_REFERENCE = re.compile(r"\{vault://[^/{}\s]+/[^{}\s]+\}")


def is_vault_reference(text: str) -> bool:
    """Return whether ``text`` as a whole is a reference ``{vault://backend/key}``."""
    return _REFERENCE.fullmatch(text) is not None
