"""The load test as locust runs it.

``locust -f loadtests/locustfile.py --host http://127.0.0.1:8000`` sends to a gateway that has the state of
``python -m loadtests.gateway_state``; locust's own options hold. ``--plan``, ``--rate`` and ``--ledger`` are ours.
"""

from gevent import monkey
from locust import events

from harness.targets.lifeline import end_group, hold_on
from loadtests.runs import install
from loadtests.users import AiChatUser, ConsumerKeyUser, MissingSubjectUser, TenantHeaderUser

__all__ = ["AiChatUser", "ConsumerKeyUser", "MissingSubjectUser", "TenantHeaderUser"]

# A thread of the operating system's: gevent's would wait for the parent with everybody else.
hold_on(end_group, monkey.get_original("_thread", "start_new_thread"))
install(events)
