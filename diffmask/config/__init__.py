"""Settings as small frozen dataclasses, and how they are read.

text, video, video_text   the settings of a run of each modality; settings: what they share, and how settings are listed
evaluation    of an evaluation; experiment: of many runs
limits        what a setting may be, said beside its field
read          YAML and `key=value` overrides
"""

from diffmask.config.read import (
    from_mapping,
    read_mapping,
    read_settings,
    with_overrides,
)
from diffmask.config.settings import (
    HeadConfig,
    ScheduleConfig,
    TrainingConfig,
    default_mapping,
    describe_settings,
    explain_settings,
    to_mapping,
)
from diffmask.config.text import TaskConfig, TextConfig, TextDataConfig, TextMaskingConfig
from diffmask.config.video import TargetConfig, VideoConfig, VideoDataConfig, VideoMaskingConfig
from diffmask.config.video_text import VideoTextConfig, VideoTextDataConfig, VideoTextMaskingConfig

__all__ = [
    "HeadConfig",
    "ScheduleConfig",
    "TargetConfig",
    "TaskConfig",
    "TextConfig",
    "TextDataConfig",
    "TextMaskingConfig",
    "TrainingConfig",
    "VideoConfig",
    "VideoDataConfig",
    "VideoMaskingConfig",
    "VideoTextConfig",
    "VideoTextDataConfig",
    "VideoTextMaskingConfig",
    "default_mapping",
    "describe_settings",
    "explain_settings",
    "from_mapping",
    "read_mapping",
    "read_settings",
    "to_mapping",
    "with_overrides",
]
