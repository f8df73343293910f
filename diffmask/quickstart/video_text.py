"""The quickstart on video and language: two digits that move, captions that say where, and masks on both sides.

The clips and their captions are made here, and so is the model: a small VideoMAE and a small BERT with fusion between
them. The tasks at its end: captions and clips that find each other, and questions about clips.
"""

import csv
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from rich.console import Console
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, PreTrainedTokenizerFast, VideoMAEConfig

from diffmask.config import (
    ScheduleConfig,
    TargetConfig,
    TrainingConfig,
    VideoTextConfig,
    VideoTextDataConfig,
    VideoTextMaskingConfig,
)
from diffmask.config.evaluation import (
    PROBE,
    RETRIEVAL,
    EvaluateSettings,
    ProbeSettings,
    TaskSettings,
    VideoTextSettings,
)
from diffmask.config.video_text import CaptionMaskingConfig, ClipMaskingConfig, ObjectivesConfig
from diffmask.demo.rendered_pairs import GENERAL, QUESTIONS, TEST, TRAIN, render_pairs
from diffmask.files.folders import write_text
from diffmask.quickstart.run import Quickstart, Sentences, Stage
from diffmask.video.anchors.contact_sheet import draw_sheet
from diffmask.video.clip.clip import Clip
from diffmask.video.index.index import Probing, index_clips, write_index
from diffmask.video_text.anchors.find import PairAnchorSettings, build_pair_anchors
from diffmask.video_text.data.pairs import PairSettings, read_pairs
from diffmask.video_text.model.config import VideoTextModelConfig
from diffmask.video_text.model.load import LoadedVideoText
from diffmask.video_text.model.video_text import VideoTextModel

_GENERAL = "general"
_WORDS_OF_OTHERS = "general.txt"
"""Captions of the general clips, one a line, which the words of the domain are compared with."""
_SPREAD = 0.06
"""Deviation of the weights that training begins with; with the usual 0.02 a narrow model learns nothing for minutes."""
_VIDEO: dict[str, Any] = {
    "image_size": 64,
    "patch_size": 8,
    "num_frames": 4,
    "tubelet_size": 2,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "decoder_hidden_size": 64,
    "decoder_num_hidden_layers": 1,
    "decoder_num_attention_heads": 4,
    "decoder_intermediate_size": 256,
    "use_mean_pooling": False,
    "initializer_range": _SPREAD,
}
"""A VideoMAE for 4 frames of 64 x 64 pixels."""
_TEXT: dict[str, Any] = {
    "hidden_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
    "initializer_range": _SPREAD,
}
_FUSION: dict[str, Any] = {"num_fusion_layers": 2, "projection_dim": 64}
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_COLOURS = (0.5,) * 3
_STRIDE, _MAX_LENGTH = 4, 16
_NUM_ANCHORS = 4
_NUM_WORDS, _PICTURE_SIZE = 128, 128
"""For the anchors of the patches: how many visual words, and to what size a frame is brought before it is cut."""
_OBJECTIVES = ObjectivesConfig(matching=0.0)
"""Matching costs as much as the rest together, and a model this small learns nothing by it in minutes."""
_REGULARISATIONS = (0.001, 0.01, 0.1)
_POLICIES = {"text": "whole-word", "video": "random-tube"}
_LOSS_LIMIT = (
    "Means over the seeds, of masked words and of masked patches. All runs saw the same clips with the same captions, "
    "those of one seed in the same order, at the same mask ratios, for the same number of steps, and started from the "
    "same model. The losses are on the same held-out clips and captions under the same random masks. Difference "
    "masking trains on other words and patches than these masks ask for, and the losses do not say which policy is "
    "better for a task."
)
_TASK_LIMIT = (
    "What this does not show: which policy is better in general. It is a small world of rendered clips, with a model "
    "of a million weights and minutes of training. Who sees no clip is right by chance: every fourth time, for neither "
    "answers nor questions give the right one away. Where it says that no difference is shown, that is the result; "
    "longer training, more seeds and your own clips may show more."
)
_LEAD = (
    "A small model of video and text, pretrained on clips of shapes with captions and continued on two handwritten "
    "digits that move their own ways: words and patches are masked in the same step, at random, or rather those that "
    "make these clips and captions different."
)
_COMMANDS = (
    "These commands do the same. To use your own data, replace the tables with yours, of clips and captions, and the "
    "model in the config with a model of video and text, or with a VideoMAE and, as text_model, a masked language "
    "model; folders or names on the hub."
)


@dataclass(frozen=True)
class VideoTextQuickstart(Quickstart[dict[str, list[Clip]]]):
    """The quickstart on clips with captions, and how large it is.

    Attributes:
        general: Clips without digits, which the model is pretrained on.
        domain: Clips with digits, which its pretraining is continued on.
        test: Clips with digits, which it is tested on.
        general_steps: Optimiser steps of the general pretraining.
        batch_size: Clips of a step, each with one of its captions.
        text_ratio: Share of the words that is masked.
        video_ratio: Share of the patches that is masked.
        workers: Processes that read clips while another one trains.
    """

    output: Path
    general: int = 432
    domain: int = 576
    test: int = 144
    general_steps: int = 200
    steps: int = 220
    batch_size: int = 32
    seeds: int = 3
    text_ratio: float = 0.5
    video_ratio: float = 0.5
    workers: int = 1
    seed: int = 0

    modality: ClassVar = "video-text"
    policies: ClassVar = {"+".join(_POLICIES.values()): "random masking", "difference": "difference masking"}
    leaves: ClassVar = ("clips", "fresh", "general.parquet", "train.parquet", "test.parquet", _WORDS_OF_OTHERS)
    shown: ClassVar = (f"clips/{TEST}", 4, 4)
    fills_in: ClassVar = True
    threads: ClassVar = 1  # with as many as there are cores, training waits for those that read clips

    def start(self) -> str:
        """Return the model of the general pretraining."""
        return self.path(_GENERAL, "model")

    def sentences(self) -> Sentences:
        """Return what it says."""
        return Sentences(
            data_step="Clips, captions and questions: rendered, encoded and indexed",
            anchor_step="Anchors: what is seen and said of these clips and not of the general ones",
            task_step="Which caption, which clip, which digit? What each model makes of clips and texts",
            page_step="The page, with masks and what the continued model makes of them",
            title="diffmask quickstart --video-text",
            heading="Difference-Masking on clips and captions, start to finish",
            lead=_LEAD,
            question="Which caption, which clip, which digit?",
            masks="What is hidden, and what the continued model makes of it",
            loss_limit=_LOSS_LIMIT,
            task_limit=_TASK_LIMIT,
            command_lead=_COMMANDS,
        )

    def commands(self) -> dict[str, str]:
        """Return what a user types for each step."""
        shapes, digits, train, test, general, questions, first, config, run, start, known = (
            shlex.quote(self.path(*part.split("/")))
            for part in (
                "clips/general", "clips/domain", f"clips/{TRAIN}", f"clips/{TEST}", _WORDS_OF_OTHERS,
                f"clips/{QUESTIONS}", "general.yaml", "difference.yaml", "difference/seed-0", f"{_GENERAL}/model",
                "train.parquet",
            )
        )  # fmt: skip
        others = shlex.quote(self.path("general.parquet"))
        asked = shlex.quote(f"probe.regularisations={list(_REGULARISATIONS)}")
        searched, all_clips = (
            shlex.quote(f"video_text.clips={json.dumps(indexes)}") for indexes in (self._indexes()[1:], self._indexes())
        )
        evaluate, sampled = f"diffmask evaluate {run} --seeds 1 max_length={_MAX_LENGTH}", "video_text.sampling=dense"
        return {
            "data": f"diffmask index {shapes} {digits} -o my-clips.parquet",
            "general": f"diffmask pretrain {first} output=my-general",
            "anchors": f"diffmask anchors {train} --clips {known} --reference {general} {others} --model {start} "
            f"--num-anchors {_NUM_ANCHORS} --num-words {_NUM_WORDS} --size {_PICTURE_SIZE} -o my-anchors",
            "preview": f"diffmask preview {test} --config {config} -o my-preview.html",
            "pretrain": f"diffmask pretrain {config} output=my-run",
            "evaluate": f"{evaluate} --task {test} --method retrieval {sampled} {searched} -o my-results",
            "questions": f"{evaluate} --task {questions} --method probe metric=accuracy {asked} {sampled} {all_clips} "
            "-o my-answers",
        }

    def make_data(self, console: Console, *, progress: bool) -> dict[str, list[Clip]]:
        """Render and index the clips, and write the model that training begins with; clips by table are returned."""
        made = render_pairs(
            self.output / "clips",
            num_general=self.general,
            num_train=self.domain,
            num_test=self.test,
            seed=self.seed,
            progress=progress,
        )
        self._write_fresh([made.general, made.train, made.questions])
        write_text(Path(self.path(_WORDS_OF_OTHERS)), "".join(f"{text}\n" for text in _texts(made.general)))
        folders = [made.folder / name for name in ("general", "domain")]
        probed = list(index_clips(folders, probing=Probing(num_processes=2, progress=progress)))
        found = {}
        for name, begin in ((_GENERAL, "shapes"), ("train", "train"), ("test", "test")):
            own = [clip for clip in probed if Path(clip.path).name.startswith(begin)]
            found[name] = sorted(own, key=lambda clip: clip.path)
            write_index(self.path(f"{name}.parquet"), found[name])
        console.print(
            f"{len(found[_GENERAL])} clips of two shapes over moving clutter; {len(found['train'])} with two digits to "
            f"train on, {len(found['test'])} to test on, of other people's handwriting; all with captions"
        )
        console.print("On your own data: any table of clips and captions will do", style="dim")
        return found

    def _write_fresh(self, files: list[Path]) -> None:
        """Write a model of random weights, whose tokenizer knows the words of some files."""
        tokenizer = _tokenizer(sorted({word for path in files for text in _texts(path) for word in _words(text)}))
        config = VideoTextModelConfig(
            video_config=VideoMAEConfig(**_VIDEO).to_dict(),
            text_config=BertConfig(vocab_size=len(tokenizer), **_TEXT).to_dict(),
            **_FUSION,
        )
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            model = VideoTextModel(config)
        LoadedVideoText("fresh", model, tokenizer, _COLOURS, _COLOURS, ()).save(self.path("fresh"))

    def preparations(self) -> tuple[Stage, ...]:
        """Return the pretraining of a model that is then continued."""
        title = f"A general model: {self.general_steps} steps on clips without digits, from random weights"
        return (Stage(title, self.commands()["general"], {_GENERAL: _GENERAL}),)

    def find_anchors(self, console: Console, *, progress: bool) -> None:
        """Write the anchors of words and of patches, and say what they are."""
        data = [self.path("clips", TRAIN)]
        settings = PairAnchorSettings(
            data,
            model=self.start(),
            reference=[self.path(_WORDS_OF_OTHERS), self.path("general.parquet")],
            num_anchors=_NUM_ANCHORS,
            num_words=_NUM_WORDS,
            size=_PICTURE_SIZE,
        )
        pairs = read_pairs(data, PairSettings((self.path("train.parquet"),))).pairs
        clips = list({pair.clip.path: pair.clip for pair in pairs}.values())
        texts = [pair.text for pair in pairs]
        anchors, patches = build_pair_anchors(settings, texts, clips, self.commands()["anchors"], progress=progress)
        anchors.save(self.path("anchors"), draw_sheet(anchors.video, patches))
        console.print(", ".join(anchors.text.anchors), style="bold")
        sheet = self.path("anchors", "video", "sheet.png")
        console.print(f"and {len(anchors.video.names)} of what is seen; look at {sheet}", highlight=False)

    def stages(self) -> tuple[Stage, ...]:
        """Return one for all policies."""
        size = f"{self.seeds} seeds, {self.steps} steps of {self.batch_size} clips each"
        title = f"Continued: {len(self.policies)} policies, {size}"
        return (Stage(title, self.commands()["pretrain"], self.policies),)

    def config(self, run: str, seed: int = 0) -> VideoTextConfig:
        """Return the settings of a run with a seed, of which the first has number 0."""
        general = run == _GENERAL
        steps = self.general_steps if general else self.steps
        sides = _POLICIES if general or "+" in run else dict.fromkeys(_POLICIES, run)
        return VideoTextConfig(
            model=self.path("fresh") if general else self.start(),
            output=self.path(_GENERAL) if general else self.path(f"{run}/seed-{seed}"),
            data=VideoTextDataConfig(
                train=(self.path("clips", GENERAL if general else TRAIN),),
                eval=() if general else (self.path("clips", TEST),),
                clips=(self.path("general.parquet"),) if general else self._indexes(),
                max_length=_MAX_LENGTH,
                num_processes=1,
                sampling="dense",
                stride=_STRIDE,
                crop_scale=(1.0, 1.0),
                crop_ratio=(1.0, 1.0),
                cache=self.path("cache"),
            ),
            masking=VideoTextMaskingConfig(
                anchors=None if general else self.path("anchors"),
                text=CaptionMaskingConfig(policy=sides["text"], ratio=ScheduleConfig(start=self.text_ratio)),
                video=ClipMaskingConfig(
                    policy=sides["video"], ratio=ScheduleConfig(start=self.video_ratio), eval_ratio=self.video_ratio
                ),
                seed=self.seed + seed,
            ),
            target=TargetConfig(decoded_share=0.25),
            objectives=_OBJECTIVES,
            training=TrainingConfig(
                steps=steps,
                batch_size=self.batch_size,
                learning_rate=1.5e-3,
                seed=self.seed + seed,
                log_every=max(1, steps // 20),
                eval_every=max(1, steps // 2) if seed == 0 else 0,
                save_every=0,
                num_workers=self.workers,
            ),
        )

    def evaluations(self) -> Mapping[str, EvaluateSettings]:
        """Return how models are evaluated: captions and clips find each other, and a probe answers questions."""
        settings = EvaluateSettings(
            self.start(),
            TaskSettings((self.path("clips", TEST),), name="captions and clips"),
            method=RETRIEVAL,
            max_length=_MAX_LENGTH,
            video_text=VideoTextSettings(clips=self._indexes()[1:], sampling="dense", stride=_STRIDE),
        )
        questions = TaskSettings((self.path("clips", QUESTIONS),), name="questions about clips")
        probe = ProbeSettings(regularisations=_REGULARISATIONS)
        shown = replace(settings.video_text, clips=self._indexes())
        asked = replace(settings, task=questions, method=PROBE, metric="accuracy", probe=probe, video_text=shown)
        return {"retrieval": settings, "questions": asked}

    def _indexes(self) -> tuple[str, str]:
        """Return the indexes of the clips to train on and to test on."""
        return self.path("train.parquet"), self.path("test.parquet")

    def facts(self, data: dict[str, list[Clip]]) -> list[tuple[str, str]]:
        """Return how many clips, which model, and how many steps."""
        return [
            ("clips", ", ".join(f"{len(clips)} {name}" for name, clips in data.items())),
            ("model", "VideoMAE, 2 layers of 128, 4 frames of 64 x 64 pixels; BERT, 1 layer; 2 of fusion"),
            ("general pretraining", f"{self.general_steps:,} steps of {self.batch_size} clips"),
            ("continued", f"{self.steps:,} steps of {self.batch_size} clips"),
            ("mask ratio", f"{self.text_ratio:g} of the words, {self.video_ratio:g} of the patches"),
        ]


def _texts(path: Path) -> Iterator[str]:
    """Yield the captions of a table, or the questions of a file with all of their answers."""
    with path.open(encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            yield from (row["caption"] for row in csv.DictReader(file))
        else:
            for asked in map(json.loads, file):
                yield from (asked["question"], *asked["answers"])


def _words(text: str) -> list[str]:
    return [word for word, _ in pre_tokenizers.BertPreTokenizer().pre_tokenize_str(text)]


def _tokenizer(words: list[str]) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words, as BERT's in all else."""
    vocabulary = {word: place for place, word in enumerate((*_SPECIAL, *words))}
    pad, unknown, first, last, mask = _SPECIAL
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing((last, vocabulary[last]), (first, vocabulary[first]))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, unk_token=unknown, cls_token=first, sep_token=last, mask_token=mask
    )
