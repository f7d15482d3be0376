"""Why no instance of a metering plugin runs for a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.gateway.entities import Consumer, PluginInstance, Route, Service
from plugin_emulator.gateway.plugin_precedence import PluginPrecedence
from plugin_emulator.gateway.selection_reason import why_none_runs
from plugin_emulator.journal import Named

NAME = "metering-and-billing"
SERVICES = [Service("s1", "one.test"), Service("s2", "two.test")]
ROUTES = [Route("r1", "first", SERVICES[0]), Route("r2", "second", SERVICES[0]), Route("r3", "third", SERVICES[1])]
CONSUMERS = [Consumer("c1", "alice"), Consumer("c2", "bob")]


@st.composite
def instances(draw: st.DrawFn) -> list[PluginInstance]:
    count = draw(st.integers(0, 4))
    return [
        PluginInstance(
            f"p{number}",
            NAME,
            None,
            enabled=draw(st.booleans()),
            route=draw(st.sampled_from([None, *ROUTES])),
            service=draw(st.sampled_from([None, *SERVICES])),
            consumer=draw(st.sampled_from([None, *CONSUMERS])),
        )
        for number in range(count)
    ]


@given(instances(), st.sampled_from([None, *ROUTES]), st.sampled_from([None, *CONSUMERS]))
def test_where_precedence_finds_none_the_reason_is_true_of_the_instance_it_names(
    configured: list[PluginInstance], route: Route | None, consumer: Consumer | None
) -> None:
    service = route.service if route else None
    asked = (
        route.id if route else None,
        service.id if service else None,
        consumer.id if consumer and route else None,
    )
    if PluginPrecedence(configured, NAME).select(*asked) is not None:
        return
    known = Named(consumer.id, consumer.username) if consumer and route else None
    why = why_none_runs(NAME, configured, route, known, anonymous=False)
    if not configured:
        assert (why.rule, why.instance) == ("FLT-1", None)
        return
    (nearest,) = [each for each in configured if each.id == why.instance]
    fits = (
        nearest.route in (None, route)
        and nearest.service in (None, service)
        and (nearest.consumer is None or (known is not None and nearest.consumer.id == known.id))
    )
    assert (why.rule == "FLT-3") == fits
    if fits:
        assert not nearest.enabled
    else:
        assert why.rule == ("FLT-1" if route else "FLT-7")
        scope = (("on Route", nearest.route), ("on Service", nearest.service), ("for Consumer", nearest.consumer))
        assert any(words in why.reason for words, entity in scope if entity is not None)


def test_an_anonymous_consumer_is_called_that() -> None:
    instance = PluginInstance("p", NAME, None, consumer=CONSUMERS[0])
    why = why_none_runs(NAME, [instance], ROUTES[0], Named("c9", "guest"), anonymous=True)
    assert why.reason.endswith("plugin p is for Consumer 'alice', the request's is the anonymous 'guest'")
