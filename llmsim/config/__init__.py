"""Every knob, and where its value came from."""

from llmsim.config.knobs import CONFIG_VARIABLE, Knob, knobs
from llmsim.config.load import DEFAULT, Loaded, load
from llmsim.config.settings import (
    GENERATORS,
    AdminSettings,
    AnthropicSettings,
    ErrorSettings,
    LatencySettings,
    ModelSettings,
    ResponseSettings,
    ScriptSettings,
    ServerSettings,
    Settings,
    StoreSettings,
)

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT",
    "GENERATORS",
    "AdminSettings",
    "AnthropicSettings",
    "ErrorSettings",
    "Knob",
    "LatencySettings",
    "Loaded",
    "ModelSettings",
    "ResponseSettings",
    "ScriptSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "knobs",
    "load",
]
