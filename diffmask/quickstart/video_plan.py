"""What the quickstart on video does, and what a user types for each step of it."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import VideoMAEConfig, VideoMAEForPreTraining

from diffmask.config import (
    ScheduleConfig,
    TargetConfig,
    TrainingConfig,
    VideoConfig,
    VideoDataConfig,
    VideoMaskingConfig,
)
from diffmask.config.evaluation import PROBE, EvaluateSettings, ProbeSettings, TaskSettings, VideoSettings
from diffmask.video.anchors.find import VisualAnchorSettings

RUNS = {
    "random-tube": "random tubes",
    "random-patch": "random patches",
    "difference": "difference masking",
}
"""Policies that are compared, and what they are called."""
GENERAL = "general"
MODEL = {
    "image_size": 64,
    "patch_size": 16,
    "num_frames": 8,
    "tubelet_size": 2,
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "decoder_hidden_size": 64,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 256,
    "use_mean_pooling": False,
}
"""A VideoMAE of a million parameters for 8 frames of 64 x 64 pixels."""
STRIDE = 2
NUM_WORDS, PICTURE_SIZE = 128, 128
"""Of the anchors: visual words, and pixels of a frame that is cut into patches."""
NUM_VIEWS, PROBED = 2, (0.01, 0.1, 1.0)


@dataclass(frozen=True)
class VideoPlan:
    """How large the quickstart on video is.

    Attributes:
        output: Folder that everything lands in.
        general: Clips without digits, that the model is pretrained on.
        domain: Clips with a digit, that its pretraining is continued on.
        test: Clips with a digit, that it is tested on.
        general_steps: Optimiser steps of the general pretraining.
        steps: Optimiser steps of each continued run.
        batch_size: Clips of a step.
        repeats: Crops of each of them: what is decoded once is seen so often.
        seeds: Runs of each policy, which differ in their seed.
        ratio: Share of the patches that is masked.
        workers: Processes that read clips beside the one that trains.
        seed: The first; of everything.
    """

    output: Path
    general: int = 300
    domain: int = 450
    test: int = 150
    general_steps: int = 400
    steps: int = 150
    batch_size: int = 16
    repeats: int = 2
    seeds: int = 3
    ratio: float = 0.5
    workers: int = 1
    seed: int = 0

    def path(self, *parts: str) -> str:
        """Return a path in the output folder."""
        return str(self.output.joinpath(*parts))

    def make_model(self) -> None:
        """Write the model that the general pretraining starts from: all of it is random."""
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            VideoMAEForPreTraining(VideoMAEConfig(**MODEL)).save_pretrained(self.path("fresh"))

    @property
    def index(self) -> str:
        """Index of the domain's clips, train and test."""
        return self.path("domain.parquet")

    def general_config(self) -> VideoConfig:
        """Return the settings of the general pretraining."""
        return self._config(
            self.path("fresh"), GENERAL, self.path("general.parquet"), "random-tube", self.general_steps, self.seed
        )

    def config(self, policy: str, seed: int = 0) -> VideoConfig:
        """Return the settings of a continued run; those of one seed differ in the policy and in the folder only.

        Args:
            policy: The policy.
            seed: Its number, from 0.
        """
        run = f"{policy}/seed-{seed}"
        clips = self.path("train.parquet")
        return self._config(self.path(GENERAL, "model"), run, clips, policy, self.steps, self.seed + seed)

    def _config(self, model: str, run: str, clips: str, policy: str, steps: int, seed: int) -> VideoConfig:
        first = run == GENERAL
        return VideoConfig(
            model=model,
            output=self.path(run),
            data=VideoDataConfig(
                train=(clips,),
                eval=() if first else (self.path("test.parquet"),),
                stride=STRIDE,
                repeats=self.repeats,
                flip=0.0,
                cache=self.path("cache"),
            ),
            masking=VideoMaskingConfig(
                policy=policy,
                anchors=None if first else self.path("anchors"),
                ratio=ScheduleConfig(start=self.ratio),
                eval_ratio=self.ratio,
                seed=seed,
            ),
            target=TargetConfig(decoded_share=0.5),
            training=TrainingConfig(
                steps=steps,
                batch_size=self.batch_size,
                learning_rate=3e-3 if first else 1.5e-3,
                seed=seed,
                log_every=max(1, steps // 20),
                eval_every=max(1, steps // 2) if first or seed == self.seed else 0,
                save_every=0,
                num_workers=self.workers,
            ),
        )

    @property
    def anchor_settings(self) -> VisualAnchorSettings:
        """How the anchors are found."""
        return VisualAnchorSettings(
            clips=[self.path("train.parquet")],
            reference=[self.path("general.parquet")],
            num_words=NUM_WORDS,
            size=PICTURE_SIZE,
        )

    def evaluation(self, model: str, name: str, output: str, seeds: range) -> EvaluateSettings:
        """Return how a model is probed."""
        return EvaluateSettings(
            model=model,
            task=TaskSettings((self.index,), name="digits"),
            method=PROBE,
            seeds=len(seeds),
            first_seed=seeds[0],
            metric="accuracy",
            name=name,
            output=output,
            probe=ProbeSettings(regularisations=PROBED),
            video=VideoSettings(stride=STRIDE, num_views=NUM_VIEWS),
        )

    def commands(self) -> dict[str, str]:
        """Return what a user types for each step."""
        said = {
            name: shlex.quote(self.path(*parts))
            for name, parts in {
                "clips": ("clips",), "domain": ("domain.parquet",), "train": ("train.parquet",),
                "general": ("general.parquet",),
                "labels": ("clips", "labels.csv"), "anchors": ("anchors",), "config": ("difference.yaml",),
                "first": ("general.yaml",), "run": ("difference", "seed-0"),
            }.items()
        }  # fmt: skip
        return {
            "index": f"diffmask index {said['clips']} --join {said['labels']} -o my-clips.parquet",
            "general": f"diffmask pretrain {said['first']} output=my-general",
            "anchors": f"diffmask anchors {said['train']} --reference {said['general']} --num-words {NUM_WORDS} "
            f"--size {PICTURE_SIZE} -o my-anchors",
            "preview": f"diffmask preview {said['train']} --config {said['config']} -o my-preview.html",
            "pretrain": f"diffmask pretrain {said['config']} output=my-run",
            "evaluate": f"diffmask evaluate {said['run']} --task {said['domain']} --method probe --seeds 1 "
            f"metric=accuracy video.stride={STRIDE} video.num_views={NUM_VIEWS} 'probe.regularisations={list(PROBED)}' "
            "-o my-results",
        }
