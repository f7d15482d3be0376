"""Kong's queue semantics as pure state machines."""

from .backoff import Delivery, retry_delay
from .batch_queue import BatchQueue, Loss
from .circuit_breaker import CircuitBreaker
from .settings import QueueSettings

__all__ = ["BatchQueue", "CircuitBreaker", "Delivery", "Loss", "QueueSettings", "retry_delay"]
