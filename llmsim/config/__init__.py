"""Every knob, and where its value came from."""

from llmsim.config.knobs import CONFIG_VARIABLE, Knob, knobs
from llmsim.config.load import DEFAULT, Loaded, load
from llmsim.config.settings import (
    GENERATORS,
    AnthropicSettings,
    ErrorSettings,
    LatencySettings,
    ModelSettings,
    ResponseSettings,
    ServerSettings,
    Settings,
    StoreSettings,
    ToolSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT",
    "GENERATORS",
    "AnthropicSettings",
    "ErrorSettings",
    "Knob",
    "LatencySettings",
    "Loaded",
    "ModelSettings",
    "ResponseSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "ToolSettings",
    "knobs",
    "load",
]
