"""The methods for models of video and text: retrieval, questions about clips, and labelled clips."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffmask.config.evaluation import FULL, MATCHING, PROBE, RETRIEVAL, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.evaluate.methods.answers import WITH_CLIP, match_answers, probe_answers
from diffmask.evaluate.methods.pair_encoder import PairEncoder, check_stride
from diffmask.evaluate.methods.retrieval import retrieve
from diffmask.evaluate.modality import ModalityMethods, Predict
from diffmask.tasks.question_task import QuestionTask, read_question_task
from diffmask.tasks.retrieval_task import RetrievalTask, read_retrieval_task
from diffmask.tasks.task import Task
from diffmask.text.model.fit import check_length

_OF_QUESTIONS = ("inputs", "localised")


class PairMethods(ModalityMethods):
    """The methods for clips with texts."""

    name = "video and text"
    methods = (PROBE, MATCHING, RETRIEVAL)
    read_by = {"probe.": PROBE}
    unread = {"finetune.": "", "video.": "video_text."}
    untrained = (MATCHING, RETRIEVAL)
    without_effect = ("video_text.num_workers", "video_text.unreadable")

    def check(self, settings: EvaluateSettings, config: Any) -> None:
        """Refuse also texts that are longer than what the model has positions for, and a stride without effect."""
        super().check(settings, config)
        check_length(config.text_config, settings.max_length)
        given, method = settings.video_text, settings.method
        check_stride(given)
        if method == MATCHING and given.inputs not in WITH_CLIP:
            raise InputError(
                f"video_text.inputs={given.inputs} shows no clip, with which the method {MATCHING} compares; choose "
                f"from: {', '.join(WITH_CLIP)}, or the method {PROBE}"
            )
        changed = given.inputs != FULL or given.localised
        if method == RETRIEVAL and changed:
            name = "inputs" if given.inputs != FULL else "localised"
            raise InputError(
                f"video_text.{name} has no effect with the method {RETRIEVAL}; it is for questions, so leave it out"
            )

    def variant(self, settings: EvaluateSettings) -> str:
        """Return what the model is shown of a question, if that is not all."""
        shown = settings.video_text.inputs
        return "" if shown == FULL else shown

    def deciding(self, settings: Mapping[str, Any], method: str) -> dict[str, Any]:
        """Return the settings on which the outcome depends; what is for questions has none on retrieval."""
        kept = super().deciding(settings, method)
        if method == RETRIEVAL:
            kept["video_text"] = {name: each for name, each in kept["video_text"].items() if name not in _OF_QUESTIONS}
        return kept

    def read_task(self, settings: EvaluateSettings, *, progress: bool) -> Task:
        """Read pairs of clips and texts to search among, or questions about clips."""
        if settings.method == RETRIEVAL:
            return read_retrieval_task(settings, progress=progress)
        return read_question_task(settings, trains=settings.method not in self.untrained, progress=progress)

    def predictor(
        self, folder: str, task: Task, settings: EvaluateSettings, *, output: Path, progress: bool
    ) -> Predict:
        """Return what searches, or what answers by features that are computed here."""
        encoder = PairEncoder.load(folder, settings)
        if isinstance(task, RetrievalTask):
            found = retrieve(encoder, task, progress=progress)
            return lambda rows, seed: found
        assert isinstance(task, QuestionTask)
        if settings.method == MATCHING:
            matched = match_answers(encoder, task, progress=progress)
            return lambda rows, seed: matched
        return probe_answers(encoder, task, progress=progress)
