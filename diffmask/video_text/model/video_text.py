"""VideoTextModel: a VideoMAE and a masked language model with fusion between them."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoModelForMaskedLM, PreTrainedModel
from transformers import initialization as init
from transformers.utils.generic import ModelOutput

from diffmask.text.model.fit import without_padding
from diffmask.text.model.masked_lm import passing_on
from diffmask.video.model.autoencoders import VideoMAEForPreTraining
from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.fusion import Attend, FromZero, Fused, Fusion, keys_of
from diffmask.video_text.model.gather import AllRows
from diffmask.video_text.model.objectives import (
    CONTRASTIVE,
    MATCHING,
    OBJECTIVES,
    TEXT,
    VIDEO,
    HardNegatives,
    PairIds,
    Similarities,
    contrastive_losses,
    draw_negatives,
    find_negatives,
    matching_losses,
)

_COLDEST, _HOTTEST = 0.001, 0.5
"""Limits of the temperature, as in ALBEF and VindLU."""
PARTS = ("video", "text")
"""Folders that `save_parts` writes."""


@dataclass
class VideoTextOutput(ModelOutput):
    """What the objectives that were asked for need; the rest is None.

    Attributes:
        token_logits: Of the places asked for, float (N, vocabulary).
        patches: Predictions of the predicted patches, float (B, P, C).
        contrastive: Contrastive loss of each row, float32 (B,).
        matching: Matching loss of each row, float32 (B,).
        loss: Of what a hook learns in the same pass; DistributedDataParallel makes the output again of its fields.
    """

    token_logits: Tensor | None = None
    patches: Tensor | None = None
    contrastive: Tensor | None = None
    matching: Tensor | None = None
    loss: Tensor | None = None


@dataclass
class _Read:
    """What was read of a batch's texts: states of the clean ones, masked ones fused with the video, and logits."""

    clean: Tensor | None = None
    fused: Fused | None = None
    logits: Tensor | None = None


class _Encoded(NamedTuple):
    """States of rows that are compared: of texts (B, L, D), which of these count, and of clips (B, V, Dv)."""

    texts: Tensor
    attention_mask: Tensor
    videos: Tensor


class VideoTextModel(PreTrainedModel):
    """A model that sees clips and reads their texts, made of any VideoMAE and any masked language model.

    Hidden patches are dropped before the video encoder. A model that was just made of two pretrained parts predicts
    tokens and patches exactly as the parts alone: fusion begins at zero.

    Args:
        config: Its config.
        video: The VideoMAE; None makes a fresh one by the config.
        text: The masked language model; None makes a fresh one by the config.

    Attributes:
        video: The VideoMAE.
        text: The masked language model.
    """

    config_class = VideoTextModelConfig
    config: VideoTextModelConfig
    main_input_name = "input_ids"
    input_modalities = ["video", "text"]
    supports_gradient_checkpointing = True
    _supports_sdpa = True

    def __init__(
        self,
        config: VideoTextModelConfig,
        video: VideoMAEForPreTraining | None = None,
        text: PreTrainedModel | None = None,
    ):
        super().__init__(config)
        parts: Any = config
        self.video = VideoMAEForPreTraining(parts.video_config) if video is None else video
        self.text = AutoModelForMaskedLM.from_config(parts.text_config) if text is None else text
        # one config for each part, with the attention that it was loaded with
        config.video_config, config.text_config = seen, read = self.video.config, self.text.config
        width, heads = read.hidden_size, read.num_attention_heads
        self.fusion = Fusion(config.fusion, config.num_fusion_layers, width, heads, seen.hidden_size)
        self.patches_to_text = Attend(seen.decoder_hidden_size, seen.decoder_num_attention_heads, width)
        self.text_projection = nn.Linear(width, config.projection_dim, bias=False)
        self.video_projection = nn.Linear(seen.hidden_size, config.projection_dim, bias=False)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))
        self.matching_head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.post_init()
        self.train_for(OBJECTIVES)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, FromZero):
            init.zeros_(module.weight)
        elif isinstance(module, VideoTextModel):
            init.constant_(module.log_temperature, math.log(self.config.temperature))

    def encode_text(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the states of texts (B, L, D) by the text model alone."""
        states = self.text.base_model(**self._inputs(input_ids, attention_mask))[0]
        return _padded(states, input_ids.shape[1])

    def encode_video(self, frames: Tensor, visible: Tensor | None = None) -> Tensor:
        """Return the states of the visible patches of clips (B, V, Dv) by the video model alone.

        Args:
            frames: Normalised clips, (B, T, channels, H, W).
            visible: Positions of the visible patches, int64 (B, V); None shows all.
        """
        if visible is None:
            num_patches = self.video.videomae.embeddings.num_patches
            visible = torch.arange(num_patches, device=frames.device).expand(len(frames), -1)
        return self.video.encode(frames, visible)

    def fuse(self, text_states: Tensor, attention_mask: Tensor, video_states: Tensor) -> Fused:
        """Return the fused states of texts (B, L, D) and clips (B, V, Dv), given those of the parts alone."""
        return self.fusion(text_states, attention_mask, video_states)

    def predict_tokens(self, input_ids: Tensor, attention_mask: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
        """Return what the text model's head makes of changed states, (N, vocabulary).

        Args:
            input_ids: int64 (B, L).
            attention_mask: int64 (B, L).
            change: Makes of the states of the text model alone (B, L, D) those that the head reads (N, D).
        """
        length = input_ids.shape[1]
        with passing_on(self.text.base_model, lambda states: change(_padded(states, length))[None]):
            return self.text(**self._inputs(input_ids, attention_mask)).logits[0]

    def predict_patches(self, fused: Fused, attention_mask: Tensor, visible: Tensor, predicted: Tensor) -> Tensor:
        """Return predictions of patches, (B, P, C), by the video model's decoder, which attends to the fused text.

        Args:
            fused: Fused states.
            attention_mask: int64 (B, L).
            visible: Positions of the patches whose states are given, int64 (B, V).
            predicted: Positions of the patches to predict, int64 (B, P).
        """
        allowed = keys_of(attention_mask)
        return self.video.decode(
            fused.video, visible, predicted, lambda tokens: self.patches_to_text(tokens, fused.text, allowed)
        )

    def embed_text(self, states: Tensor, attention_mask: Tensor) -> Tensor:
        """Return texts in the space of comparison, float32 (B, E) of unit length, given states of the text model."""
        return F.normalize(self.text_projection(_mean_of(states, attention_mask)).float(), dim=-1)

    def embed_video(self, states: Tensor) -> Tensor:
        """Return clips in the space of comparison, float32 (B, E) of unit length, given states of the video model."""
        return F.normalize(self.video_projection(states.mean(1)).float(), dim=-1)

    def match(self, fused_text: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the logit (B,) that clip and text belong together, given fused states of the text."""
        return self.matching_head(_mean_of(fused_text, attention_mask))[:, 0]

    def temperature(self) -> Tensor:
        """Return the temperature, a scalar between its limits.

        What is learned is set back to a limit that it has passed, so that its gradient stays alive there.
        """
        with torch.no_grad():
            self.log_temperature.clamp_(math.log(_COLDEST), math.log(_HOTTEST))
        return self.log_temperature.exp()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        frames: Tensor,
        visible: Tensor | None = None,
        predicted: Tensor | None = None,
        places: tuple[Tensor, Tensor] | None = None,
        clean_ids: Tensor | None = None,
        pairs: PairIds | None = None,
        *,
        step: int = 0,
        seed: int = 0,
        objectives: Collection[str] = (),
    ) -> VideoTextOutput:
        """Return what the objectives need.

        Args:
            input_ids: Texts, masked where tokens are predicted, int64 (B, L).
            attention_mask: int64 (B, L).
            frames: Normalised clips, (B, T, channels, H, W).
            visible: Positions of the visible patches, int64 (B, V); None shows all.
            predicted: Positions of the patches to predict, int64 (B, P); for `video`.
            places: Rows and columns of the tokens to predict, int64 (N,) each; for `text`.
            clean_ids: The texts as they are, for `contrastive` and `matching`; None takes `input_ids`.
            pairs: Who the rows are, for `contrastive` and `matching`.
            step: Optimiser step, for the draw of negatives.
            seed: Seed of that draw.
            objectives: Which are asked for: text, video, contrastive, matching.
        """
        asked = frozenset(objectives)
        assert asked and asked <= set(OBJECTIVES), f"objectives are {sorted(asked)}; choose from {OBJECTIVES}"
        seen = self.encode_video(frames, visible)
        read = self._read(input_ids, attention_mask, clean_ids, seen, asked, places)
        output = VideoTextOutput(token_logits=read.logits)
        if VIDEO in asked:
            assert read.fused is not None and visible is not None and predicted is not None, "give visible, predicted"
            output.patches = self.predict_patches(read.fused, attention_mask, visible, predicted)
        if asked & {CONTRASTIVE, MATCHING}:
            assert pairs is not None and read.clean is not None, "pairs say which texts and clips are no negatives"
            encoded = _Encoded(read.clean, attention_mask, seen)
            output.contrastive, output.matching = self._compare(encoded, pairs, asked, (seed, step))
        return output

    def _read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        clean_ids: Tensor | None,
        seen: Tensor,
        asked: Collection[str],
        places: tuple[Tensor, Tensor] | None,
    ) -> _Read:
        """Read masked and clean texts in one pass, as far as the objectives need them."""
        rows, fuses = len(input_ids), TEXT in asked or VIDEO in asked
        texts = [input_ids] if fuses or clean_ids is None else []
        if clean_ids is not None and (CONTRASTIVE in asked or MATCHING in asked):
            texts.append(clean_ids)
        both, mask = torch.cat(texts), attention_mask.repeat(len(texts), 1)
        read = _Read()

        def change(states: Tensor) -> Tensor:
            # the same rows, if there is one text of each
            masked, read.clean = states[:rows], states[-rows:]
            read.fused = self.fuse(masked, attention_mask, seen) if fuses else None
            return states if read.fused is None or places is None else read.fused.text[places]

        if TEXT in asked:
            assert places is not None, "places say which tokens are predicted"
            read.logits = self.predict_tokens(both, mask, change)
        else:
            change(self.encode_text(both, mask))
        return read

    def _compare(
        self, encoded: _Encoded, pairs: PairIds, asked: Collection[str], draw: tuple[int, int]
    ) -> tuple[Tensor | None, Tensor | None]:
        """Return the contrastive and the matching loss of each row, as far as they are asked for."""
        rows = AllRows.of(encoded.attention_mask)
        text, video = self.embed_text(encoded.texts, encoded.attention_mask), self.embed_video(encoded.videos)
        temperature = self.temperature()
        # half the precision would be multiplied by one over the temperature
        with torch.autocast(text.device.type, enabled=False):
            similar = Similarities(
                video @ rows.gather(text).T / temperature,
                text @ rows.gather(video).T / temperature,
            )
        every = PairIds(*map(rows.gather, pairs))
        negatives = find_negatives(pairs, every)
        contrastive = contrastive_losses(similar, negatives, rows.own) if CONTRASTIVE in asked else None
        if MATCHING not in asked:
            return contrastive, None
        seed, step = draw
        drawn = draw_negatives(similar, negatives, pairs.sample_ids, every.sample_ids, seed=seed, step=step)
        return contrastive, matching_losses(self._match_with(encoded, drawn, rows), drawn.exist)

    def _match_with(self, encoded: _Encoded, drawn: HardNegatives, rows: AllRows) -> Tensor:
        """Return the logits (3, B) of own pairs, own clips with negative texts, own texts with negative clips."""
        texts, mask = rows.padded(encoded.texts), rows.padded(encoded.attention_mask)
        all_texts, all_masks, all_videos = map(rows.gather, (texts, mask, encoded.videos))
        fused_mask = torch.cat([mask, all_masks[drawn.texts], mask])
        fused = self.fuse(
            torch.cat([texts, all_texts[drawn.texts], texts]),
            fused_mask,
            torch.cat([encoded.videos, encoded.videos, all_videos[drawn.videos]]),
        )
        return self.match(fused.text, fused_mask).view(3, -1)

    def train_for(self, objectives: Collection[str]) -> None:
        """Train what objectives use and freeze the rest, so that nothing that trains gets no gradient.

        DistributedDataParallel takes a parameter that trains and gets none for an error.

        Args:
            objectives: Those that every step will ask for.
        """
        asked = frozenset(objectives)
        video, encoder = self.video, self.text.base_model
        video.requires_grad_(VIDEO in asked)
        video.videomae.requires_grad_(True)
        if video.feature_head is not None:
            video.pixel_head.requires_grad_(False)
        self.patches_to_text.requires_grad_(VIDEO in asked)
        self.text.requires_grad_(TEXT in asked)
        encoder.requires_grad_(True)
        self.fusion.requires_grad_(bool(asked & {TEXT, VIDEO, MATCHING}))
        if VIDEO not in asked:
            for module in self.fusion.video_side():
                module.requires_grad_(False)
        for module in (self.text_projection, self.video_projection, self.log_temperature):
            module.requires_grad_(CONTRASTIVE in asked)
        self.matching_head.requires_grad_(MATCHING in asked)

    def save_parts(self, folder: str | Path, tokenizer: Any = None, processor: Any = None) -> None:
        """Write both parts, as continued, for the classes of transformers: FOLDER/video and FOLDER/text.

        Args:
            folder: Where to.
            tokenizer: Saved beside the masked language model.
            processor: Processor of frames, saved beside the VideoMAE.
        """
        for part, beside in zip(PARTS, (processor, tokenizer), strict=True):
            getattr(self, part).save_pretrained(Path(folder) / part)
            if beside is not None:
                beside.save_pretrained(Path(folder) / part)

    def _inputs(self, input_ids: Tensor, attention_mask: Tensor) -> dict[str, Tensor]:
        return without_padding(self.text.config, {"input_ids": input_ids, "attention_mask": attention_mask})


def _mean_of(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean of the states of each text (B, D); padding does not count."""
    counted = attention_mask[..., None].to(states.dtype)
    return (states * counted).sum(1) / counted.sum(1)


def _padded(states: Tensor, length: int) -> Tensor:
    """Return states of texts with the columns of padding that the model has no positions for, which are zero."""
    return F.pad(states, (0, 0, 0, length - states.shape[1]))


AutoModel.register(VideoTextModelConfig, VideoTextModel)
