"""How large must the queue be? Advice from the queue itself, run in virtual time."""

from .advisor import Advice, TooMuchToSimulate, advise, notes
from .assessment import Assessment
from .causes import causes
from .proposal import Change, changed_block
from .workload import OutageKind, Workload

__all__ = [
    "Advice",
    "Assessment",
    "Change",
    "OutageKind",
    "TooMuchToSimulate",
    "Workload",
    "advise",
    "causes",
    "changed_block",
    "notes",
]
