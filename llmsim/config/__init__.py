"""Every setting, and where its value came from. Start with `settings.py`."""

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
