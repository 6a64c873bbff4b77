"""What a filter may say."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.instance import FILTER_WORDS, flow_filter
from natlb.errors import UsageError
from natlb.model import FlowFilter


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({}, FlowFilter()),
        ({"service": "web"}, FlowFilter(service="web")),
        ({"backend": "b2"}, FlowFilter(backend="b2")),
        ({"backend": "web/b2"}, FlowFilter(service="web", backend="b2")),
        ({"backend": "web/[fd00::1]:80"}, FlowFilter(service="web", backend="[fd00::1]:80")),
        ({"service": "web", "backend": "web/b2"}, FlowFilter(service="web", backend="b2")),
        ({"client": "198.51.100.7"}, FlowFilter(client="198.51.100.7")),
        ({"client": "198.51.100.7/32"}, FlowFilter(client="198.51.100.7")),
        ({"client": "198.51.100.7/24"}, FlowFilter(client="198.51.100.0/24")),
        ({"client": "2001:DB8:0::/48"}, FlowFilter(client="2001:db8::/48")),
        ({"state": "replied", "protocol": "udp"}, FlowFilter(state="replied", protocol="udp")),
    ],
)
def test_a_filter_reads_as_it_is_written(words, wanted) -> None:
    """What is meant is told in one spelling, so that the tables compare plain values."""
    assert flow_filter(words) == wanted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"colour": "red"}, "'colour'; there are service, backend, client, state, protocol"),
        ({"state": "open"}, "'open'; there are opening, established, closing, unreplied, replied"),
        ({"protocol": "icmp"}, "'icmp'; there are tcp, udp"),
        ({"client": "198.51.100.256"}, "'198.51.100.256'"),
        ({"service": ""}, "'service'"),
        ({"service": "a\x1b[31m"}, "'service'"),
        ({"service": "dns", "backend": "web/b2"}, "'web/b2'"),
        ({"backend": "/b2"}, "'/b2'"),
        ({"backend": "web/"}, "'web/'"),
    ],
)
def test_a_filter_not_understood_is_refused_with_what_would_be(words, told) -> None:
    """A filter that silently matched nothing, or everything, would flush the wrong flows."""
    with pytest.raises(UsageError) as caught:
        flow_filter(words)

    assert told in caught.value.message
    assert caught.value.fix


@given(st.dictionaries(st.sampled_from([*FILTER_WORDS, "x"]), st.text()))
def test_any_words_give_a_filter_or_a_usage_error(words) -> None:
    """Texts come from a socket: nothing else may escape."""
    with contextlib.suppress(UsageError):
        assert isinstance(flow_filter(words), FlowFilter)
