"""Settings of a run, as small frozen dataclasses; imports nothing of ours."""

from diffmask.config.read import (
    from_mapping,
    read_mapping,
    read_settings,
    with_overrides,
)
from diffmask.config.settings import (
    DataConfig,
    HeadConfig,
    MaskingConfig,
    PretrainConfig,
    ScheduleConfig,
    TaskConfig,
    TrainingConfig,
    default_mapping,
    describe_settings,
    explain_settings,
    to_mapping,
)
from diffmask.config.video import TargetConfig, VideoConfig, VideoDataConfig, VideoMaskingConfig

__all__ = [
    "DataConfig",
    "HeadConfig",
    "MaskingConfig",
    "PretrainConfig",
    "ScheduleConfig",
    "TargetConfig",
    "TaskConfig",
    "TrainingConfig",
    "VideoConfig",
    "VideoDataConfig",
    "VideoMaskingConfig",
    "default_mapping",
    "describe_settings",
    "explain_settings",
    "from_mapping",
    "read_mapping",
    "read_settings",
    "to_mapping",
    "with_overrides",
]
