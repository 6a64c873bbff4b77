"""`python -m tests.unit.control.fake_control FD`: a control that publishes nothing real."""

import sys

from natlb.control.channel import Channel
from tests.unit.control.fakes import FakeControl

if __name__ == "__main__":
    channel = Channel.from_fd(int(sys.argv[1]))
    FakeControl(channel).run()
