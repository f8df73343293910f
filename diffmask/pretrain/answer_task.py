"""The task itself, learned in the same steps as masked words and patches: questions about clips, with answers.

Each answer is read with its question and the whole clip, and what says whether a text and a clip belong together scores
it. So the model has no further parameters, and `diffmask evaluate --method matching` asks what was learned.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from diffmask.assemble.video import build_sampling
from diffmask.config import VideoTextConfig
from diffmask.core.errors import InputError
from diffmask.pretrain.task import check_task
from diffmask.text.segment.pad import PadLabelled
from diffmask.text.segment.segmenter import pad_id
from diffmask.video.model.targets import normalised
from diffmask.video.read.dataset import ClipDataset, Sampling
from diffmask.video.units.grid import Grid
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.match_questions import clips_of_questions
from diffmask.video_text.data.questions import CHOICE, Question, read_questions
from diffmask.video_text.data.tokenise_parts import tokenise_parts
from diffmask.video_text.model.load import LoadedVideoText

logger = logging.getLogger(__name__)

_NO_CLIP = "questions without a clip that can be read"
_NOT_ANSWERED = "questions whose right answer nobody says"
_OF_OTHERS = "questions of other splits"
_CUT = "questions too long for data.max_length with an answer (cut off before the answer)"


class QuestionRows(Sequence[dict[str, Any]]):
    """Questions, each with the frames of its clip and its answers as tokens.

    Args:
        clips: Rows of the clips of the questions.
        tokens: Of each question, the tokens of each answer with the question before it.
        labels: Which answer is right.
    """

    def __init__(self, clips: ClipDataset, tokens: Sequence[list[list[int]]], labels: Sequence[int]):
        self._clips, self._tokens, self._labels = clips, tokens, labels

    def __len__(self) -> int:
        """Return the number of questions."""
        return len(self._labels)

    def __getitem__(self, row: Any) -> Any:
        """Return a question, or several."""
        if isinstance(row, slice):
            return [self[place] for place in range(*row.indices(len(self)))]
        (seen,) = self._clips[row]
        return {"frames": seen["frames"], "tokens": self._tokens[row], "labels": self._labels[row]}


class AnswerTask:
    """A task of questions about clips that is learned beside masks; see `train.objective.Objective`.

    Args:
        loaded: The model, its tokenizer, and the colours that it reads.
        rows: Questions to train on.
        held_out: Questions that the task is measured on.
        batch_size: Number of questions that go with each micro-batch.
        weight: Factor of the task's loss.
    """

    def __init__(
        self, loaded: LoadedVideoText, rows: QuestionRows, held_out: Sequence[Any], *, batch_size: int, weight: float
    ):
        self._model, self._mean, self._std = loaded.model, loaded.mean, loaded.std
        self._pad = PadLabelled(pad_id(loaded.tokenizer), of_words=False)
        self.rows: Sequence[Any] = rows
        self.held_out = held_out
        self.batch_size, self.weight = batch_size, weight

    def pad(self, rows: Sequence[dict[str, Any]], /) -> dict[str, Tensor]:
        """Return frames uint8 (B, T, 3, S, S), input_ids and attention_mask of all answers (B A, L), labels (B,)."""
        answers = self._pad.inputs([{"input_ids": tokens} for row in rows for tokens in row["tokens"]])
        frames = torch.stack([row["frames"] for row in rows])
        return answers | {"frames": frames, "labels": torch.tensor([row["labels"] for row in rows])}

    def outcome(self, batch: dict[str, Tensor], /, *, training: bool) -> Tensor:
        """Return the loss of each question and whether its right answer was chosen, float32 (N, 2)."""
        model, labels = self._model.train(training), batch["labels"]
        ids, mask = batch["input_ids"], batch["attention_mask"]
        clips = model.encode_video(normalised(batch["frames"], self._mean, self._std))
        clips = clips.repeat_interleave(len(ids) // len(labels), 0)
        fused = model.fuse(model.encode_text(ids, mask), mask, clips)
        scores = model.match(fused.text, mask).float().view(len(labels), -1)
        losses = cross_entropy(scores, labels, reduction="none")
        return torch.stack([losses, (scores.argmax(1) == labels).to(losses)], dim=1)


def build_answer_task(config: VideoTextConfig, loaded: LoadedVideoText, *, progress: bool) -> AnswerTask | None:
    """Return the task of a run; None without one.

    Raises:
        InputError: If a setting cannot be used, or its files hold no question that can be learned.
    """
    task = config.task
    if task is None:
        return None
    check_task(config)
    rows = _rows(config, loaded, "train", task.train, progress=progress)
    held_out = _rows(config, loaded, "dev", task.eval, progress=progress) if task.eval else []
    return AnswerTask(loaded, rows, held_out, batch_size=task.batch_size, weight=task.weight)


def _rows(
    config: VideoTextConfig, loaded: LoadedVideoText, split: str, files: Sequence[str], *, progress: bool
) -> QuestionRows:
    """Return the questions of a split; what is left out is counted, named and logged."""
    setting = f"task.{'train' if split == 'train' else 'eval'}"
    read = read_questions(files)
    if read.kind != CHOICE:
        raise InputError(f"{setting} holds open questions; a task beside masks has answers to choose from")
    faults = Faults()
    faults.add_all(read.faults)
    kept = []
    for question in read.questions:
        if question.split not in (None, split):
            faults.add(_OF_OTHERS, question.qid)
        elif question.answer is None:
            faults.add(_NOT_ANSWERED, question.qid)
        else:
            kept.append(question)
    clips, _ = clips_of_questions(kept, config.data.clips or _beside(files), faults, progress=progress)
    for question, clip in zip(kept, clips, strict=True):
        if clip is None:
            faults.add(_NO_CLIP, question.qid)
    found = [(question, clip) for question, clip in zip(kept, clips, strict=True) if clip is not None]
    tokens = [_tokens(question, loaded.tokenizer, config.data.max_length, faults) for question, _ in found]
    faults.tell(logger)
    if not found:
        raise InputError(f"{setting} has no question that can be learned ({str(faults)}); name its clips in data.clips")
    spans = [question.span if config.data.localised else None for question, _ in found]
    seen = ClipDataset([clip for _, clip in found], _sampling(config, loaded.grid), spans=spans, augment=False)
    return QuestionRows(seen, tokens, [question.answer or 0 for question, _ in found])


def _beside(files: Sequence[str]) -> list[str]:
    """Return the folders of files, where clips are if nobody says where."""
    return list(dict.fromkeys(str(Path(file).parent) for file in files))


def _sampling(config: VideoTextConfig, grid: Grid) -> Sampling:
    return replace(build_sampling(config.data, grid), clips_per_video=1, repeats=1)


def _tokens(question: Question, tokenizer: Any, max_length: int, faults: Faults) -> list[list[int]]:
    """Return the tokens of each answer with the question before it, which alone is cut off."""
    texts = [f"{question.question} {answer}" for answer in question.answers]
    parts = [(len(question.question) + 1, len(text)) for text in texts]
    read = tokenise_parts(texts, parts, tokenizer, max_length)
    if any(read.num_cut):
        faults.add(_CUT, question.qid)
    return read.ids
