"""What loaders print, as they print it."""

from __future__ import annotations

import json

import pytest

from bench.results import MeasureError
from bench.traffic import Delivery, read_iperf3, read_wrk, reason

WRK = """\
Running 1s test @ http://203.0.113.10:80/
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.15ms  402.11us  10.20ms   88.49%
    Req/Sec    28.29k     2.37k   32.10k    70.00%
  56312 requests in 1.00s, 16.00MB read
{errors}Requests/sec:  56101.42
Transfer/sec:     15.94MB
"""


def test_a_rate_of_requests_is_read() -> None:
    """The line that says it."""
    assert read_wrk(WRK.format(errors="")) == 56101.42


@pytest.mark.parametrize(
    "errors",
    [
        "  Socket errors: connect 0, read 60, write 0, timeout 0\n",
        "  Socket errors: connect 60, read 0, write 0, timeout 0\n",
        "  Non-2xx or 3xx responses: 60\n",
    ],
)
def test_a_rate_of_failures_is_no_rate_of_requests(errors: str) -> None:
    """A forwarder that refuses fast must not look fast."""
    with pytest.raises(MeasureError, match="60 of 56312 requests failed"):
        read_wrk(WRK.format(errors=errors))


def test_a_stray_failure_is_none() -> None:
    """The last connections are cut when the time is over."""
    errors = "  Socket errors: connect 0, read 3, write 0, timeout 0\n"

    assert read_wrk(WRK.format(errors=errors)) == 56101.42


@pytest.mark.parametrize("text", ["", "  0 requests in 1.00s, 0.00B read\nRequests/sec: 0.00\n"])
def test_no_answer_is_no_rate_of_zero(text: str) -> None:
    """It is a failure, and is told as one."""
    with pytest.raises(MeasureError, match="no answer"):
        read_wrk(text)


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
