"""The configuration: read from YAML, TOML, JSON or a mapping, checked whole, resolved.

load_config   parse_config   config_from_mapping     -> Config, or InvalidConfigError
render_config                                        Config -> YAML with every default
difference, refuse_restart                           two Configs -> what a reload does
"""

from __future__ import annotations

from natlb.control.config.difference import Difference, difference, refuse_restart
from natlb.control.config.load import (
    Syntax,
    config_from_mapping,
    file_name,
    load_config,
    parse_config,
    read_config,
    syntax_of,
)
from natlb.control.config.problems import InvalidConfigError, Problem
from natlb.control.config.render import api_listen, api_socket, render_config
from natlb.control.config.values import (
    API_LISTEN,
    Address,
    ApiConfig,
    BackendConfig,
    Config,
    DatapathConfig,
    Listen,
    LogConfig,
    NetnsSide,
    PolicyConfig,
    ServiceConfig,
    Side,
    Timeouts,
    endpoint,
)

__all__ = [
    "API_LISTEN",
    "Address",
    "ApiConfig",
    "BackendConfig",
    "Config",
    "DatapathConfig",
    "Difference",
    "InvalidConfigError",
    "Listen",
    "LogConfig",
    "NetnsSide",
    "PolicyConfig",
    "Problem",
    "ServiceConfig",
    "Side",
    "Syntax",
    "Timeouts",
    "api_listen",
    "api_socket",
    "config_from_mapping",
    "difference",
    "endpoint",
    "file_name",
    "load_config",
    "parse_config",
    "read_config",
    "refuse_restart",
    "render_config",
    "syntax_of",
]
