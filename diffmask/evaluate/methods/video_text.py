"""The methods for models of video and text: questions about clips, retrieval, and labelled clips."""

import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import FINETUNE, FULL, MATCHING, PROBE, RETRIEVAL, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.evaluate.methods.answer_tuner import AnswerTuner
from diffmask.evaluate.methods.answers import WITH_CLIP, match_answers, probe_answers
from diffmask.evaluate.methods.pair_encoder import PairEncoder
from diffmask.evaluate.methods.retrieval import retrieve
from diffmask.evaluate.methods.video import ClipMethods, refuse_stride
from diffmask.evaluate.modality import PAIRS, ModalityMethods, Predict, Predicted
from diffmask.tasks.question_task import QuestionTask, question_files, read_question_task
from diffmask.tasks.retrieval_task import RetrievalTask, read_retrieval_task
from diffmask.tasks.task import Task
from diffmask.text.model.fit import check_length
from diffmask.video_text.model.load import load_video_text

_OF_QUESTIONS = ("video_text.inputs", "video_text.localised", "video_text.subtitles")
_WITHOUT_EFFECT = ("video_text.num_workers", "video_text.unreadable")


class PairMethods(ModalityMethods):
    """The methods for questions about clips; for other tasks it names the others."""

    name = PAIRS
    methods = (FINETUNE, PROBE, MATCHING)
    read_by = {"probe.": PROBE, "video_text.finetune.": FINETUNE, "video_text.rerank": RETRIEVAL}
    unread = {"finetune.": "video_text.finetune.", "video.": ""}
    untrained = (MATCHING,)
    without_effect = _WITHOUT_EFFECT

    def of_task(self, settings: EvaluateSettings) -> ModalityMethods:
        """Return the methods for clips and texts that are to find each other, for questions, or for labelled clips."""
        if settings.method == RETRIEVAL:
            return RetrievalMethods()
        return self if settings.method == MATCHING or question_files(settings.task.files) else LabelledClipMethods()

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse also texts that are longer than what the model has positions for, and what cannot be compared."""
        super().check(settings, config)
        check_length(config.text_config, settings.max_length)
        given = settings.video_text
        refuse_stride(given, "video_text")
        if settings.method == MATCHING and given.inputs not in WITH_CLIP:
            raise InputError(
                f"video_text.inputs={given.inputs} shows no clip, with which the method {MATCHING} compares; choose "
                f"from: {', '.join(WITH_CLIP)}, or the method {PROBE}"
            )

    def variant(self, settings: EvaluateSettings) -> str:
        """Return what the model is shown of a question, if that is not all."""
        shown = settings.video_text.inputs
        return "" if shown == FULL else shown

    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read questions, and find their clips."""
        return read_question_task(settings, trains=settings.method not in self.untrained, progress=progress)

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what fine-tunes, or what answers by features that are computed here."""
        assert isinstance(task, QuestionTask)
        if settings.method == FINETUNE:
            return AnswerTuner(folder, task, settings, output=output, progress=progress).predict
        encoder = PairEncoder.load(folder, settings)
        if settings.method == MATCHING:
            found = match_answers(encoder, task, progress=progress)
            return lambda rows, seed: found
        return probe_answers(encoder, task, progress=progress)


class RetrievalMethods(ModalityMethods):
    """The method for clips and texts that are to find each other."""

    name = PAIRS
    methods = (RETRIEVAL,)
    read_by = {}
    unread = dict.fromkeys(("finetune.", "probe.", "video.", "video_text.finetune.", *_OF_QUESTIONS), "")
    untrained = (RETRIEVAL,)
    without_effect = _WITHOUT_EFFECT

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse also texts that are longer than what the model has positions for, and a stride without effect."""
        super().check(settings, config)
        check_length(config.text_config, settings.max_length)
        refuse_stride(settings.video_text, "video_text")

    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read pairs of clips and texts."""
        return read_retrieval_task(settings, progress=progress)

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what has searched."""
        assert isinstance(task, RetrievalTask)
        found = retrieve(PairEncoder.load(folder, settings), task, progress=progress)
        return lambda rows, seed: found


class LabelledClipMethods(ClipMethods):
    """The methods for labelled clips, which the VideoMAE within the model sees alone."""

    name = PAIRS

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what predicts by the VideoMAE, which is written to a folder of its own as long as it is asked."""
        part = Path(tempfile.mkdtemp(prefix="diffmask-"))
        try:
            loaded = load_video_text(folder)
            loaded.model.video.save_pretrained(part)
            loaded.processor().save_pretrained(part)
            predict = super().predictor(str(part), task, settings, output=output, progress=progress)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise

        def alone(train: list[int], seed: int) -> Predicted:
            return predict(train, seed)

        weakref.finalize(alone, shutil.rmtree, part, ignore_errors=True)
        return alone
