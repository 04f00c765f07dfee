"""Every knob, and where its value came from."""

from llmsim.config.knobs import CONFIG_VARIABLE, Knob, knobs
from llmsim.config.load import DEFAULT, Loaded, load
from llmsim.config.serving import (
    AdminSettings,
    ModelSettings,
    ScriptSettings,
    ServerSettings,
    StoreSettings,
)
from llmsim.config.settings import GENERATORS, Settings
from llmsim.config.simulating import (
    AnthropicSettings,
    ErrorSettings,
    LatencySettings,
    ResponseSettings,
    ToolSettings,
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
    "ToolSettings",
    "knobs",
    "load",
]
