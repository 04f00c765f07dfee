"""Every setting, and where its value came from. Start with `settings.py`."""

from llmsim.config.budgets import BudgetSettings
from llmsim.config.settings import (
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
    ToolSettings,
)
from llmsim.config.sources import DEFAULT, LoadedSettings, load
from llmsim.config.specs import CONFIG_VARIABLE, SettingSpec, setting_specs

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT",
    "AdminSettings",
    "AnthropicSettings",
    "BudgetSettings",
    "ErrorSettings",
    "LatencySettings",
    "LoadedSettings",
    "ModelSettings",
    "ResponseSettings",
    "ScriptSettings",
    "ServerSettings",
    "SettingSpec",
    "Settings",
    "StoreSettings",
    "ToolSettings",
    "load",
    "setting_specs",
]
