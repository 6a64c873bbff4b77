"""What loaders print, as they print it."""

from __future__ import annotations

import json

import pytest

from natlb.bench.results import MeasureError
from natlb.bench.traffic import Delivery, read_iperf3, read_wrk, reason, unless, whole

WRK = """\
Running 1s test @ http://203.0.113.10:80/
  56312 requests in 1.00s, 16.00MB read
Requests/sec:  56101.42
natlb-bench {{"requests": {count}, "us": 2000000, "failed": {failed}, "p50": 900, "p99": 2500,\
 "p999": 8000}}
"""


def wrk(*, count: int = 50_000, failed: int = 0) -> str:
    """Return what wrk prints with our script."""
    return WRK.format(count=count, failed=failed)


def test_a_rate_of_requests_is_read_with_their_waits() -> None:
    """From the line of our own script: wrk says no p99.9 by itself."""
    came = read_wrk(wrk(failed=3))  # the last connections are cut when the time is over

    assert came.per_second == 25_000
    assert (came.p50, came.p99, came.p999) == (0.9, 2.5, 8.0)
    assert came.count == 50_000


def test_a_rate_of_failures_is_no_rate_of_requests() -> None:
    """A forwarder that refuses fast must not look fast."""
    with pytest.raises(MeasureError, match="60 of 50000 requests failed"):
        read_wrk(wrk(failed=60))


@pytest.mark.parametrize("text", ["", "Running 1s test\n", wrk(count=0)])
def test_no_answer_is_no_rate_of_zero(text: str) -> None:
    """It is a failure, and is told as one."""
    with pytest.raises(MeasureError, match="no answer"):
        read_wrk(text)


def test_loaders_take_whole_seconds_and_one_at_least() -> None:
    """A tenth of a second would be none, which to them is for ever."""
    assert [whole(each) for each in (0.1, 1.4, 2.6)] == [1, 1, 3]


def test_a_missing_loader_says_how_to_have_it() -> None:
    """The others are measured."""
    assert unless("nlbb-not-there") == "no nlbb-not-there here: apt-get install nlbb-not-there"
    assert unless("sh") == ""


def test_what_was_received_is_what_counts() -> None:
    """What was sent may still lie in a buffer."""
    end = {"sum_sent": {"bits_per_second": 9e9}, "sum_received": {"bits_per_second": 8e9}}

    assert read_iperf3(json.dumps({"end": end})) == 8.0


@pytest.mark.parametrize("text", ["", "{}", '{"end": {}}', '{"error": "unable to connect"}'])
def test_output_without_a_figure_is_a_failure(text: str) -> None:
    """Never a zero."""
    with pytest.raises(MeasureError, match="no figure"):
        read_iperf3(text)


def test_a_loader_says_itself_why_it_failed() -> None:
    """iperf3 in JSON on standard output, others on standard error."""
    assert reason('{"error": "unable to connect"}', "") == "unable to connect"
    assert reason("", "first\nlast\n") == "last"
    assert reason("", "") == "failed without a word"


def test_the_share_that_came_is_in_percent() -> None:
    """Of nothing sent, nothing came."""
    assert Delivery(sent_per_second=200, delivered_per_second=150, cpu_us=1).share == 75
    assert Delivery(sent_per_second=0, delivered_per_second=0, cpu_us=1).share == 0
