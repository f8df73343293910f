"""The quickstart on clips: digits over moving clutter, a small VideoMAE, random tubes, patches and difference masking.

The clips are rendered and encoded here. The task at its end: which digit moves through a clip?
"""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from rich.console import Console
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
from diffmask.demo.rendered_clips import render_digits
from diffmask.quickstart.run import Quickstart, Sentences, Stage
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video.anchors.find import VisualAnchorSettings, build_visual_anchors
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import Probing, index_clips, write_index

_GENERAL = "general"
_MODEL = {
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
_STRIDE = 2
_NUM_WORDS, _PICTURE_SIZE = 128, 128
"""For the anchors: how many visual words, and to what size in pixels a frame is brought before it is cut."""
_NUM_VIEWS, _REGULARISATIONS = 2, (0.01, 0.1, 1.0)
_LOSS_LIMIT = (
    "Means over the seeds. All runs saw the same clips, those of one seed the same crops in the same order, at the "
    "same mask ratio, for the same number of steps, and started from the same model. The losses are on the same "
    "held-out clips under the same random tubes. Difference masking trains on other patches than these masks ask for, "
    "and the losses do not say which policy is better for a task."
)
_TASK_LIMIT = (
    "What this does not show: which policy is better in general. It is one small task on rendered clips, with frozen "
    "features, a model of a million weights and minutes of training. Where it says that no difference is shown, "
    "that is the result; longer training, more seeds and your own clips may show more."
)
_LEAD = (
    "A small video model, pretrained on shapes that move over clutter and continued on handwritten digits that do: "
    "with random masks, and with masks that prefer what makes these clips different."
)
_COMMANDS = (
    "These commands do the same. To use your own data, replace the rendered clips with yours, and the model in the "
    "config with a VideoMAE, a folder or a name on the hub."
)


@dataclass(frozen=True)
class VideoQuickstart(Quickstart[dict[str, list[Clip]]]):
    """The quickstart on clips, and how large it is.

    Attributes:
        general: Clips without digits, which the model is pretrained on.
        domain: Clips with a digit, which its pretraining is continued on.
        test: Clips with a digit, which it is tested on.
        general_steps: Optimiser steps of the general pretraining.
        batch_size: Clips of a step.
        repeats: How many crops are taken of a clip that was decoded once.
        ratio: Share of the patches that is masked.
        workers: Processes that read clips while another one trains.
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

    modality: ClassVar = "video"
    policies: ClassVar = {
        "random-tube": "random tubes",
        "random-patch": "random patches",
        "difference": "difference masking",
    }
    leaves: ClassVar = ("clips", "fresh", *(f"{name}.parquet" for name in (_GENERAL, "domain", "train", "test")))
    shown: ClassVar = ("test.parquet", 4, 4)
    fills_in: ClassVar = True

    def start(self) -> str:
        """Return the model of the general pretraining."""
        return self.path(_GENERAL, "model")

    def sentences(self) -> Sentences:
        """Return what it says."""
        return Sentences(
            data_step="Clips: rendered, encoded and indexed",
            anchor_step="Anchors: what is seen in these clips and not in the general ones",
            task_step="Which digit? Logistic regression on what each model makes of a clip",
            page_step="The page, with masks and what the continued model makes of them",
            title="diffmask quickstart --video",
            heading="Difference-Masking on clips, start to finish",
            lead=_LEAD,
            question="Which digit moves through a clip?",
            masks="What is hidden, and what the continued model makes of it",
            loss_limit=_LOSS_LIMIT,
            task_limit=_TASK_LIMIT,
            command_lead=_COMMANDS,
        )

    def commands(self) -> dict[str, str]:
        """Return what a user types for each step."""
        clips, labels, domain, train, general, first, config, run = (
            shlex.quote(self.path(*part.split("/")))
            for part in (
                "clips", "clips/labels.csv", "domain.parquet", "train.parquet", "general.parquet", "general.yaml",
                "difference.yaml", "difference/seed-0",
            )
        )  # fmt: skip
        return {
            "data": f"diffmask index {clips} --join {labels} -o my-clips.parquet",
            "general": f"diffmask pretrain {first} output=my-general",
            "anchors": f"diffmask anchors {train} --reference {general} --num-words {_NUM_WORDS} "
            f"--size {_PICTURE_SIZE} -o my-anchors",
            "preview": f"diffmask preview {train} --config {config} -o my-preview.html",
            "pretrain": f"diffmask pretrain {config} output=my-run",
            "evaluate": f"diffmask evaluate {run} --task {domain} --method probe --seeds 1 metric=accuracy "
            f"video.stride={_STRIDE} video.num_views={_NUM_VIEWS} "
            f"'probe.regularisations={list(_REGULARISATIONS)}' -o my-results",
        }

    def make_data(self, console: Console, *, progress: bool) -> dict[str, list[Clip]]:
        """Render and index the clips, and write the weights that the model begins with; clips by index are returned."""
        made = render_digits(
            self.output / "clips",
            num_general=self.general,
            num_domain=self.domain,
            num_test=self.test,
            seed=self.seed,
            progress=progress,
        )
        found = {}
        for name, folder in ((_GENERAL, made.general), ("domain", made.domain)):
            probed = index_clips([folder], joins=[made.labels], probing=Probing(num_processes=2, progress=progress))
            found[name] = sorted(probed, key=lambda clip: clip.path)  # they come as their probes end
        for split in ("train", "test"):
            found[split] = [clip for clip in found["domain"] if clip.split == split]
        for name, clips in found.items():
            write_index(self.path(f"{name}.parquet"), clips)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            VideoMAEForPreTraining(VideoMAEConfig(**_MODEL)).save_pretrained(self.path("fresh"))
        console.print(
            f"{len(found[_GENERAL])} clips of shapes and strokes over moving clutter; {len(found['train'])} with a "
            f"digit to train on, {len(found['test'])} to test on, each of other people's handwriting"
        )
        console.print("On your own data: any folder of clips will do", style="dim")
        return found

    def preparations(self) -> tuple[Stage, ...]:
        """Return the pretraining of a model that is then continued."""
        title = f"A general model: {self.general_steps} steps on clips without digits, from random weights"
        return (Stage(title, self.commands()["general"], {_GENERAL: _GENERAL}),)

    def find_anchors(self, console: Console, *, progress: bool) -> None:
        """Write the anchors, and say where they are shown."""
        settings = VisualAnchorSettings(
            clips=[self.path("train.parquet")],
            reference=[self.path("general.parquet")],
            num_words=_NUM_WORDS,
            size=_PICTURE_SIZE,
        )
        anchors, patches = build_visual_anchors(settings, self.commands()["anchors"], progress=progress)
        anchors.save(self.path("anchors"), draw_sheet(anchors, patches))
        console.print(f"{len(anchors.names)} anchors; look at {self.path('anchors', 'sheet.png')}", highlight=False)

    def stages(self) -> tuple[Stage, ...]:
        """Return one for all policies."""
        size = f"{self.seeds} seeds, {self.steps} steps of {self.batch_size} clips each"
        title = f"Continued: {len(self.policies)} policies, {size}"
        return (Stage(title, self.commands()["pretrain"], self.policies),)

    def config(self, run: str, seed: int = 0) -> VideoConfig:
        """Return the settings of a run with a seed, of which the first has number 0."""
        general = run == _GENERAL
        steps = self.general_steps if general else self.steps
        return VideoConfig(
            model=self.path("fresh") if general else self.start(),
            output=self.path(_GENERAL) if general else self.path(f"{run}/seed-{seed}"),
            data=VideoDataConfig(
                train=(self.path("general.parquet" if general else "train.parquet"),),
                eval=() if general else (self.path("test.parquet"),),
                stride=_STRIDE,
                repeats=self.repeats,
                flip=0.0,
                cache=self.path("cache"),
            ),
            masking=VideoMaskingConfig(
                policy="random-tube" if general else run,
                anchors=None if general else self.path("anchors"),
                ratio=ScheduleConfig(start=self.ratio),
                eval_ratio=self.ratio,
                seed=self.seed + seed,
            ),
            target=TargetConfig(decoded_share=0.5),
            training=TrainingConfig(
                steps=steps,
                batch_size=self.batch_size,
                learning_rate=3e-3 if general else 1.5e-3,
                seed=self.seed + seed,
                log_every=max(1, steps // 20),
                eval_every=max(1, steps // 2) if seed == 0 else 0,
                save_every=0,
                num_workers=self.workers,
            ),
        )

    def evaluations(self) -> Mapping[str, EvaluateSettings]:
        """Return how models are evaluated: by a probe on the digits."""
        settings = EvaluateSettings(
            self.start(),
            TaskSettings((self.path("domain.parquet"),), name="digits"),
            method=PROBE,
            metric="accuracy",
            probe=ProbeSettings(regularisations=_REGULARISATIONS),
            video=VideoSettings(stride=_STRIDE, num_views=_NUM_VIEWS),
        )
        return {"": settings}

    def facts(self, data: dict[str, list[Clip]]) -> list[tuple[str, str]]:
        """Return how many clips, which model, and how many steps."""
        return [
            ("clips", ", ".join(f"{len(data[name])} {name}" for name in (_GENERAL, "train", "test"))),
            ("model", "VideoMAE, 4 layers of 128, 8 frames of 64 x 64 pixels"),
            ("general pretraining", f"{self.general_steps:,} steps of {self.batch_size} clips"),
            ("continued", f"{self.steps:,} steps of {self.batch_size} clips"),
            ("mask ratio", f"{self.ratio:g}"),
        ]
