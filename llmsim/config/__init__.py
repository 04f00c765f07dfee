"""Every setting, and where its value came from. Start with `settings.py`."""

from llmsim.config.access_settings import AdminSettings, AuthSettings
from llmsim.config.budget_settings import BudgetSettings
from llmsim.config.engine_settings import EngineSettings
from llmsim.config.fault_settings import FaultSettings
from llmsim.config.file_settings import FileSettings
from llmsim.config.latency_settings import LatencyFigures, LatencySettings
from llmsim.config.limit_settings import LimitSettings, Tier, TierLimits
from llmsim.config.runtime import (
    AT_RUN_TIME,
    BY_TIMELINE,
    changeable_names,
    check_changes,
    decide,
    encode_changes,
    engines_by_pattern,
    is_changeable,
    merged_changes,
    with_changes,
)
from llmsim.config.server_settings import ServerSettings
from llmsim.config.settings import (
    AnthropicSettings,
    CacheSettings,
    ErrorSettings,
    ModelSettings,
    ResponseSettings,
    ScriptSettings,
    Settings,
    StoreSettings,
    ToolSettings,
)
from llmsim.config.sources import DEFAULT, LoadedSettings, load
from llmsim.config.specs import CONFIG_VARIABLE, SettingSpec, setting_specs
from llmsim.config.state_settings import StateSettings
from llmsim.config.timeline import (
    Timeline,
    TimelineFormat,
    TimelineMoment,
    parse_timeline,
)
from llmsim.config.values import resolve_profile
