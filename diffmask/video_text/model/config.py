"""The config of a VideoTextModel."""

from transformers import AutoConfig, PreTrainedConfig
from transformers.configuration_utils import SubConfigSpec

FUSIONS = ("cross", "bidirectional", "merged")


class VideoTextModelConfig(PreTrainedConfig):
    """What a VideoTextModel is made of.

    Attributes:
        video_config: Config of the VideoMAE.
        text_config: Config of the masked language model.
        fusion: How text and video are fused: `cross` (the text attends to itself and to the video), `bidirectional`
            (the video attends to the text as well) or `merged` (both attend to both at once).
        num_fusion_layers: Number of blocks of fusion.
        projection_dim: Width of the space in which clips and texts are compared.
        temperature: Temperature of the contrastive loss to begin with; it is learned.
    """

    model_type = "diffmask-video-text"
    sub_configs_defaults = {
        "video_config": SubConfigSpec(config_class=AutoConfig, model_type="videomae"),
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="bert"),
    }

    video_config: PreTrainedConfig | dict | None = None
    text_config: PreTrainedConfig | dict | None = None
    fusion: str = "cross"
    num_fusion_layers: int = 3
    projection_dim: int = 256
    temperature: float = 0.07


# so that a folder of such a model is understood by its config.json alone
AutoConfig.register(VideoTextModelConfig.model_type, VideoTextModelConfig)
