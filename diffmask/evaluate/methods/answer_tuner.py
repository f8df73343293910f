"""Fine-tuning on questions: the whole model reads each answer with its question and clip, and a new head scores it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from diffmask.config.evaluation import EvaluateSettings
from diffmask.core.machine import fast_attention
from diffmask.evaluate.methods.answers import WITH_CLIP, compose_all, pooled
from diffmask.evaluate.methods.pair_encoder import PairEncoder, Texts, sampling_for
from diffmask.evaluate.methods.tuner import Tuner, decode
from diffmask.evaluate.modality import Predicted
from diffmask.tasks.question_task import Asked, QuestionTask
from diffmask.text.segment.segmenter import pad_id
from diffmask.train.optimizer import parameter_groups
from diffmask.video.model.targets import normalised
from diffmask.video.read.dataset import ClipDataset
from diffmask.video_text.model.load import LoadedVideoText, load_video_text
from diffmask.video_text.model.objectives import MATCHING
from diffmask.video_text.model.video_text import VideoTextModel

_HEAD = "answer_head."


class AnsweringModel(VideoTextModel):
    """A model of video and text with a head that scores answers, or open questions' labels.

    Args:
        loaded: The model that it begins as.
        num_outputs: Numbers for each text: one where answers are read, else one for each label.
    """

    def __init__(self, loaded: LoadedVideoText, num_outputs: int):
        super().__init__(loaded.model.config, loaded.model.video, loaded.model.text)
        self.load_state_dict(loaded.model.state_dict())
        width = 2 * int(loaded.model.text.config.hidden_size)
        self.answer_head = nn.Linear(width, num_outputs)
        nn.init.normal_(self.answer_head.weight, std=0.02)
        nn.init.zeros_(self.answer_head.bias)
        self.train_for((MATCHING,))  # encoders and fusion
        self.matching_head.requires_grad_(False)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input_ids: Tensor, attention_mask: Tensor, parts: Tensor, frames: Tensor | None = None, labels: Any = None
    ) -> ModelOutput:
        """Return the logits of answers (B, A), or of labels (B, C), and the loss.

        Args:
            input_ids: Texts of the answers, or the question, int64 (B, A, L).
            attention_mask: int64 (B, A, L).
            parts: Which tokens are of the answer, bool (B, A, L).
            frames: Normalised clips, (B, T, channels, H, W); None shows nothing.
            labels: What is right, int64 (B,).
        """
        rows, num_answers = input_ids.shape[:2]
        ids, mask, inside = (each.flatten(0, 1) for each in (input_ids, attention_mask, parts))
        states = self.encode_text(ids, mask)
        if frames is None:
            videos = states.new_zeros(rows, 1, self.video.config.hidden_size)
        else:
            videos = self.encode_video(frames)
        fused = self.fuse(states, mask, videos.repeat_interleave(num_answers, 0)).text
        logits = self.answer_head(pooled(fused, mask, inside)).view(rows, -1)
        loss = None if labels is None else cross_entropy(logits.float(), labels)
        return ModelOutput(loss=loss, logits=logits)


class QuestionRows(Dataset):
    """Questions with the tokens of their answers and views of their clips; a pass draws other crops than the last.

    Args:
        texts: Tokens of all answers, question by question.
        num_texts: Texts of each question.
        labels: What is right for each question.
        views: The clips of the questions; None shows none.
    """

    def __init__(self, texts: Texts, num_texts: int, labels: Sequence[int], views: ClipDataset | None):
        self.texts, self.num_texts, self.labels, self.views = texts, num_texts, list(labels), views
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of questions."""
        return len(self.labels)

    def set_epoch(self, epoch: int) -> None:
        """Note the pass over the data; the Trainer calls it."""
        self.epoch = epoch

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return the tokens of a question's texts, its label, and the frames of its clip, uint8 (T, 3, S, S)."""
        places = slice(row * self.num_texts, (row + 1) * self.num_texts)
        made: dict[str, Any] = {"texts": Texts(self.texts.rows[places], self.texts.parts[places], 0)}
        if self.views is not None:
            (view,) = self.views[self.epoch * len(self.views) + row]
            made["frames"] = view["frames"]
        return made | {"labels": self.labels[row]}


@dataclass(frozen=True)
class _Batch:
    """Makes a batch of questions.

    Attributes:
        fill: Token that fills short texts.
        mean: Mean of red, green and blue that clips are normalised by.
        std: Their standard deviation.
    """

    fill: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, Tensor]:
        """Return what `AnsweringModel.forward` takes."""
        texts = [row["texts"] for row in rows]
        tokens, parts = ([each for text in texts for each in text[place]] for place in (0, 1))
        made = Texts(tokens, parts, 0).batch(range(len(tokens)), self.fill)
        names = ("input_ids", "attention_mask", "parts")
        batch = {name: each.unflatten(0, (len(rows), -1)) for name, each in zip(names, made, strict=True)}
        if "frames" in rows[0]:
            batch["frames"] = normalised(torch.stack([row["frames"] for row in rows]), self.mean, self.std)
        return batch | {"labels": torch.tensor([row["labels"] for row in rows])}


class AnswerTuner(Tuner):
    """Fine-tunes one model on one task of questions, for any seed and any share of its training questions."""

    sampling = "random"
    workers = "video_text.num_workers"

    def __init__(self, folder: str, task: QuestionTask, settings: EvaluateSettings, *, output: Path, progress: bool):
        given = settings.video_text
        super().__init__(folder, task, settings, given.finetune, output=output, progress=progress)
        encoder = PairEncoder.load(folder, settings)
        loaded = encoder.loaded
        self.questions, self.grid = task, loaded.grid
        self.num_texts = max(1, task.num_answers)
        self.collate, self.num_workers = _Batch(pad_id(loaded.tokenizer), loaded.mean, loaded.std), given.num_workers
        self._texts = {name: encoder.tokenise(*compose_all(asked, given.inputs)) for name, asked in task.asked.items()}
        self.num_cut = sum(texts.num_cut for texts in self._texts.values())

    def predict(self, train: Sequence[int], seed: int) -> Predicted:
        """Fine-tune and predict, and tell how many texts were cut off."""
        found = super().predict(train, seed)
        return replace(found, chosen=found.chosen | {"texts_cut_off": self.num_cut})

    def training_rows(self, train: Sequence[int], seed: int) -> QuestionRows:
        """Return questions with random views of their clips."""
        texts, asked = self._texts["train"], self.questions.asked["train"]
        places = [row * self.num_texts + text for row in train for text in range(self.num_texts)]
        own = Texts([texts.rows[place] for place in places], [texts.parts[place] for place in places], 0)
        labels = [self.task.train.labels[row] for row in train]
        return QuestionRows(own, self.num_texts, labels, self._views([asked[row] for row in train], seed))

    def rows(self, split: str) -> tuple[QuestionRows, list[int]]:
        """Return the questions of a split with the middle of their clips."""
        asked, labels = self.questions.asked[split], self.task.splits[split].labels
        # what is right of an open question may be no answer that the head has; nothing here reads it
        known = labels if self.questions.num_answers else [min(label, self._num_outputs() - 1) for label in labels]
        return QuestionRows(self._texts[split], self.num_texts, known, self._views(asked)), list(range(len(asked)))

    def decode(self, logits: Any, rows: QuestionRows) -> list[Any]:
        """Return the answer, or the label, with the highest logit of each question."""
        return decode(logits, self.task.kind)

    def optimizer(self, model: PreTrainedModel, rate: float) -> torch.optim.Optimizer:
        """Return AdamW with a higher rate for the head, and without decay of biases and norms."""
        tuning = self.settings.video_text.finetune
        decayed = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
        head = [parameter for name, parameter in model.named_parameters() if name.startswith(_HEAD)]
        inside = {id(parameter) for parameter in head}
        groups = parameter_groups(model, decayed, rate, tuning.weight_decay, 1.0)
        for group in groups:
            group["params"] = [parameter for parameter in group["params"] if id(parameter) not in inside]
        groups.append({"params": head, "lr": tuning.head_rate * rate, "weight_decay": tuning.weight_decay})
        return torch.optim.AdamW(groups, rate)

    def _load(self, device: torch.device) -> tuple[PreTrainedModel, tuple[str, ...]]:
        given = self.settings.video_text
        loaded = load_video_text(
            self.folder,
            num_frames=given.num_frames,
            image_size=given.image_size,
            attention=fast_attention(device, self.settings.precision).get("attn_implementation"),
        )
        model = AnsweringModel(loaded, self._num_outputs())
        fresh = [name for name, _ in model.named_parameters() if name.startswith(_HEAD)]
        return model, tuple(sorted([*loaded.missing, *fresh]))

    def _num_outputs(self) -> int:
        return 1 if self.questions.num_answers else self.questions.num_known

    def _views(self, asked: Sequence[Asked], seed: int | None = None) -> ClipDataset | None:
        """Return the clips of questions: random views with a seed, else their middle; None where none are shown."""
        given = self.settings.video_text
        if given.inputs not in WITH_CLIP:
            return None
        tuning = given.finetune
        clips, spans = [self.questions.clips[each.content] for each in asked], [each.span for each in asked]
        if seed is None:
            return ClipDataset(clips, sampling_for(self.grid, given), spans=spans, augment=False)
        sampling = sampling_for(self.grid, given, crop_scale=tuning.crop_scale, flip=tuning.flip)
        return ClipDataset(clips, sampling, spans=spans, seed=seed)
