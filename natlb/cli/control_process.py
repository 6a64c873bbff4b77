"""The control process with the API that it serves: `python -m natlb.cli.control_process FD`.

Control may not know the API, which stands on it; here both are known. The API's libraries are
loaded when it is served: by then packets are forwarded.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from natlb.control.channel import Channel
from natlb.control.main import main

if TYPE_CHECKING:
    from natlb.control.doors import Doors
    from natlb.control.instance import Instance


async def serve(instance: Instance, doors: Doors) -> None:
    """Answer the API at these doors until cancelled."""
    from natlb.api import serve as serve_api

    await serve_api(instance, doors)


if __name__ == "__main__":
    sys.exit(main(Channel.from_fd(int(sys.argv[1])), serve))
