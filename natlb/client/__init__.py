"""Typed client of the API: a method a request, values of `natlb.model`, errors of `natlb.errors`.

asking      `Client`: a method for each request
following   events as they happen, over the death of control
transport   requests and answers over a Unix socket or TCP, and what their failures mean
places      where instances listen, and how one is let in
values      JSON as values of the model

Made of the standard library alone, so that a command starts at once.
"""

from __future__ import annotations

from natlb.client.asking import Client
from natlb.client.places import default_socket

__all__ = ["Client", "default_socket"]
