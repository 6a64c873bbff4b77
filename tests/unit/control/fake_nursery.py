"""`python -m tests.unit.control.fake_nursery FD`: the nursery, with a packet path that waits."""

import sys

from natlb.control.channel import Channel
from natlb.control.nursery import serve
from tests.unit.control.fakes import FakePath, learn

if __name__ == "__main__":
    sys.exit(serve(Channel.from_fd(int(sys.argv[1])), FakePath, learn))
