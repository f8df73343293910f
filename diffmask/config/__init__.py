"""Settings of a run, as small frozen dataclasses; imports nothing of ours."""

from diffmask.config.read import ConfigError, from_mapping, read_config, read_mapping, read_settings, with_overrides
from diffmask.config.schedule import ScheduleConfig
from diffmask.config.settings import (
    DataConfig,
    HeadConfig,
    MaskingConfig,
    PretrainConfig,
    TrainingConfig,
    describe_settings,
    explain_settings,
    to_mapping,
)
from diffmask.config.task import TaskConfig

__all__ = [
    "ConfigError",
    "DataConfig",
    "HeadConfig",
    "MaskingConfig",
    "PretrainConfig",
    "ScheduleConfig",
    "TaskConfig",
    "TrainingConfig",
    "describe_settings",
    "explain_settings",
    "from_mapping",
    "read_config",
    "read_mapping",
    "read_settings",
    "to_mapping",
    "with_overrides",
]
