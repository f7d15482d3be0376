"""The ``condition`` of a plugin entity: compiled once, asked for each request (SPEC CND, FLT-6). No I/O."""

from .condition import Condition, compile_condition
from .errors import ConditionFailed, InvalidCondition
from .facts import ConsumerFacts, EntityFacts, Facts, PluginFacts

__all__ = [
    "Condition",
    "ConditionFailed",
    "ConsumerFacts",
    "EntityFacts",
    "Facts",
    "InvalidCondition",
    "PluginFacts",
    "compile_condition",
]
