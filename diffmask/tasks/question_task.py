"""Questions about clips as a task: with answers to choose from, or open, where the most frequent answers are labels.

Nothing but the label of an example says which answer is right.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from diffmask.config.evaluation import ANSWERS, FINETUNE, INPUTS, PROBE, REFUSE, SINGLE_LABEL, EvaluateSettings
from diffmask.core.errors import InputError
from diffmask.files.blocks import listed
from diffmask.files.splits import SPLITS
from diffmask.tasks.leakage import Leakage
from diffmask.tasks.task import Split, Task, choose_held_out
from diffmask.video.clip.clip import Clip, content_hash
from diffmask.video.clip.names import ClipNames
from diffmask.video.read.dataset import Span
from diffmask.video_text.data.beside import list_source
from diffmask.video_text.data.faults import Faults
from diffmask.video_text.data.listings import is_cue_rows, list_cue_rows
from diffmask.video_text.data.match_questions import clips_of_questions
from diffmask.video_text.data.questions import CHOICE, Question, is_questions, read_questions
from diffmask.video_text.data.subtitles import Cue

SPLIT_FILE = "original_split.json"
"""Social-IQ's file of splits, in a folder of its files."""
ANOTHER = "(another answer)"
"""What open questions are labelled whose answer is not among the frequent ones; it is never right."""
_UNKNOWN = "questions whose right answer nobody says are left out"
_NO_SPLIT = "questions of no split are left out"
_NO_CLIP = "questions without a clip that can be read are left out"
_SILENT = "questions about clips without subtitles"
_WHOLE = "questions that do not say about which seconds they are, and show their whole clip"


class Asked(NamedTuple):
    """What a model is asked; the right answer is a label of the task, and not here.

    Attributes:
        question: The question.
        answers: Answers to choose from; none of an open question.
        content: Which clip it is about, as `QuestionTask.clips` knows it.
        span: Seconds of the clip that are shown; None for all of it.
        said: What is said in them.
    """

    question: str
    answers: tuple[str, ...]
    content: str
    span: Span | None
    said: str = ""


@dataclass(frozen=True)
class QuestionTask(Task):
    """A task whose examples are questions about clips; `Split.texts` holds the content of the clip of each.

    So questions about one clip fall on one side of a split, and a question is unseen if its clip is in no other split.

    Attributes:
        asked: The questions of each split, in the order of its labels.
        clips: The clip of each content.
        num_answers: Answers of each question; 0 of open ones.
        notes: What was read, and what was left out.
        num_known: Of open questions, how many labels are answers that can be given; the one behind them is `ANOTHER`.
    """

    asked: Mapping[str, Sequence[Asked]] = field(default_factory=dict)
    clips: Mapping[str, Clip] = field(default_factory=dict)
    num_answers: int = 0
    notes: Sequence[str] = ()
    num_known: int = 0

    @property
    def examples(self) -> str:
        """What the examples are called."""
        return "questions"

    def sources(self) -> dict[str, Any]:
        """Return for the record of a result what the examples are, and what was left out."""
        return {"examples": self.examples, "num_answers": self.num_answers, "notes": list(self.notes)}

    def summarise(self, found: Leakage) -> str:
        """Return in a sentence how many test questions are about clips of other splits."""
        twins = int(found.elsewhere["test"].sum())
        total = len(self.test)
        if not len(self.train):
            return f"{total:,} questions are asked; nothing is trained on others."
        if not twins:
            return f"None of the {total:,} questions of test is about a clip of train or dev."
        return (
            f"{twins:,} of the {total:,} questions of test ({100 * twins / total:.1f} %) are about clips of train or "
            f"dev too. {total - twins:,} are about unseen clips."
        )


class _Found(NamedTuple):
    """A question that can be asked, its clip, and what is said in it."""

    question: Question
    clip: Clip
    cues: Sequence[Cue]


def read_question_task(settings: EvaluateSettings, *, trains: bool, progress: bool = False) -> QuestionTask:
    """Read questions about clips, and find their clips.

    Questions that nobody has answered are left out; if that is all of the test, as in TVQA and Social-IQ, the dev split
    takes its place. A tenth of the training clips, with their questions, is the dev split where there is none.

    Args:
        settings: The evaluation.
        trains: Whether something is trained; if not, the test is enough, and questions may be of no split.
        progress: Show a bar while clips are probed that no index knows.

    Raises:
        InputError: If a file cannot be read, a split is missing, or questions of the test lack a clip.
    """
    _check(settings)
    paths = question_files(settings.task.files)
    if not paths:
        raise InputError(
            f"{', '.join(settings.task.files)} holds no questions about clips; give files of TVQA, TVQA+, Social-IQ "
            "2.0 or MSRVTT-QA, or a table with the columns clip, question, answers and answer"
        )
    read = read_questions(paths)
    faults = Faults()
    faults.add_all(read.faults)
    by_split = _by_split(read.questions, faults, trains=trains)
    dev_is_test = "test" not in by_split and "dev" in by_split
    if dev_is_test:
        by_split["test"] = by_split.pop("dev")
    if not trains:
        by_split = {name: questions for name, questions in by_split.items() if name == "test"}
    _check_splits(by_split, paths, trains=trains)
    clips = _Clips.of(settings, paths, read.questions, faults, progress=progress)
    found = {name: clips.find(questions, name, settings, faults) for name, questions in by_split.items()}
    if dev_from_train := trains and "dev" not in found:
        rest, held = choose_held_out([content_hash(each.clip).hex() for each in found["train"]], "questions")
        found["dev"] = [found["train"][place] for place in held]
        found["train"] = [found["train"][place] for place in rest]
    is_open = read.kind != CHOICE
    if is_open:
        _check_open(settings, trains=trains)
    made = _make(found, settings, faults, is_open=is_open)
    notes = [*read.said, _how_shown(settings)]
    if dev_is_test:
        notes.append("no question of test is answered, so that dev is the test")
    return replace(
        made, name=settings.task.name or _name(settings.task.files), dev_from_train=dev_from_train,
        notes=[*notes, *faults.lines()],
    )  # fmt: skip


def question_files(sources: Sequence[str]) -> list[Path]:
    """Return the files of questions that sources are, or that folders among them hold; none if there are none."""
    found = []
    for path in map(Path, sources):
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        found += [each for each in inside if each.name == SPLIT_FILE or is_questions(each)]
    return found if any(each.name != SPLIT_FILE for each in found) else []


def _check(settings: EvaluateSettings) -> None:
    for name in ("kind", "text", "pair", "label", "outside"):
        if getattr(settings.task, name) is not None:
            raise InputError(f"task.{name} is for labelled texts, not for questions about clips; leave it out")


def _check_open(settings: EvaluateSettings, *, trains: bool) -> None:
    if not trains:
        raise InputError(
            f"open questions have no answers to choose from, which the method {settings.method} needs; choose from: "
            f"{FINETUNE}, {PROBE}"
        )
    if settings.video_text.inputs == ANSWERS:
        known = ", ".join(name for name in INPUTS if name != ANSWERS)
        raise InputError(f"open questions have no answers to show alone; choose video_text.inputs from: {known}")


def _by_split(questions: Sequence[Question], faults: Faults, *, trains: bool) -> dict[str, list[Question]]:
    """Return the answered questions of each split; where nothing is trained, those of no split are tested, too."""
    found: dict[str, list[Question]] = {}
    has_splits = any(question.split in SPLITS for question in questions)
    for question in questions:
        split = question.split if has_splits or trains else "test"
        if split not in SPLITS:
            faults.add(_NO_SPLIT, question.qid)
        elif question.answer is None:
            faults.add(_UNKNOWN, question.qid)
        else:
            found.setdefault(split, []).append(question)
    return found


def _check_splits(by_split: Mapping[str, Sequence[Question]], paths: Sequence[Path], *, trains: bool) -> None:
    where = ", ".join(map(str, paths))
    for split in ("train", "test") if trains else ("test",):
        if split not in by_split:
            known = listed(f"{name} {len(questions):,}" for name, questions in by_split.items()) or "none"
            raise InputError(
                f"{where} holds no answered questions of split {split} (splits: {known}); give files named train, dev "
                "and test, or a column split"
            )


class _Clips(NamedTuple):
    """The clips of questions.

    Attributes:
        of_question: The clip of each question; None if it was not found, or cannot be read.
        cues: What is said in them, by path.
    """

    of_question: Mapping[Question, Clip | None]
    cues: Mapping[str, Sequence[Cue]]

    @classmethod
    def of(
        cls,
        settings: EvaluateSettings,
        paths: Sequence[Path],
        questions: Sequence[Question],
        faults: Faults,
        *,
        progress: bool,
    ) -> "_Clips":
        """Find the clips among those that the settings name, or in the folders of the files."""
        beside = dict.fromkeys(str(path.parent) for path in paths)
        found, names = clips_of_questions(
            questions, settings.video_text.clips or list(beside), faults, progress=progress
        )
        of_question = dict(zip(questions, found, strict=True))
        return cls(of_question, _read_cues(settings.video_text.subtitles, names, faults))

    def find(
        self, questions: Sequence[Question], split: str, settings: EvaluateSettings, faults: Faults
    ) -> list[_Found]:
        """Return the questions of a split that have a clip.

        Raises:
            InputError: If none has one, or some of the test have none and the settings do not allow it.
        """
        found, lacking = [], []
        for question in questions:
            clip = self.of_question[question]
            if clip is None:
                lacking.append(question)
                faults.add(_NO_CLIP, f"{split}: {question.video}")
                continue
            if settings.video_text.localised and question.span is None:
                faults.add(_WHOLE, question.qid)
            cues = self.cues.get(clip.path, ())
            if settings.video_text.subtitles and not cues:
                faults.add(_SILENT, f"{split}: {question.video}")
            found.append(_Found(question, clip, cues))
        videos = dict.fromkeys(question.video for question in lacking)
        if lacking and split == "test" and settings.video_text.unreadable == REFUSE:
            raise InputError(
                f"{len(lacking):,} of the {len(questions):,} test questions have no clip that can be read "
                f"({listed(videos)}); name the clips with video_text.clips, or give video_text.unreadable=leave-out, "
                "which makes it a smaller test"
            )
        if not found:
            raise InputError(
                f"not one {split} question has a clip that can be read ({listed(videos)}); name the clips with "
                "video_text.clips=[FOLDER]"
            )
        return found


def _read_cues(sources: Sequence[str], names: ClipNames, faults: Faults) -> dict[str, Sequence[Cue]]:
    """Return the subtitles of clips, by path.

    Raises:
        InputError: If a source cannot be read, or holds none of these clips.
    """
    found: dict[str, Sequence[Cue]] = {}
    for source in sources:
        path = Path(source)
        listing = list_cue_rows(path, names) if is_cue_rows(path) else list_source(source, names)
        faults.add_all(listing.faults)
        cues = {said.path: said.cues for said in listing.texts if said.cues}
        if not cues:
            raise InputError(
                f"{source} holds no subtitles of the clips of these questions ({listing.faults}); give files named "
                "after the clips, or TVQA's table of subtitles"
            )
        found = cues | found
    return found


def _make(
    found: Mapping[str, Sequence[_Found]], settings: EvaluateSettings, faults: Faults, *, is_open: bool
) -> QuestionTask:
    """Return questions with their clips as a task that has no name yet."""
    num_answers = 0 if is_open else len(found["test"][0].question.answers)
    labels: dict[str, list[Any]] = {name: [each.question.answer for each in part] for name, part in found.items()}
    names = [f"answer {place + 1}" for place in range(num_answers)]
    if is_open:
        names = _frequent_answers(found["train"], settings.video_text.num_answers)
        found = {**found, "train": _answerable(found["train"], names, faults)}
        rows = {name: row for row, name in enumerate(names)}
        labels = {name: [rows.get(_right(each), len(names)) for each in part] for name, part in found.items()}
        for name in ("dev", "test"):
            for each, label in zip(found[name], labels[name], strict=True):
                if label == len(names):
                    faults.add(f"questions of {name} whose answer is not among those (counted as wrong)", _right(each))
        names.append(ANOTHER)
    contents = {each.clip.path: content_hash(each.clip).hex() for part in found.values() for each in part}
    clips = {contents[each.clip.path]: each.clip for part in found.values() for each in part}
    asked = {
        name: [_ask(each, contents, settings, is_choice=not is_open) for each in found.get(name, ())] for name in SPLITS
    }
    splits = {name: Split([each.content for each in asked[name]], None, labels.get(name, [])) for name in SPLITS}
    digest = hashlib.sha256(json.dumps([names, asked, labels]).encode()).hexdigest()
    num_known = len(names) - 1 if is_open else 0
    return QuestionTask(
        "", SINGLE_LABEL, names, splits, digest, asked=asked, clips=clips, num_answers=num_answers, num_known=num_known
    )


def _right(found: _Found) -> str:
    """Return the right answer of an open question."""
    return found.question.answers[0].casefold()


def _frequent_answers(found: Sequence[_Found], most: int) -> list[str]:
    """Return the most frequent answers; of equally frequent ones, the first by the alphabet."""
    counts = Counter(map(_right, found))
    if len(counts) < 2:
        raise InputError(
            f"all training questions have the answer {next(iter(counts))!r}; there is nothing to tell apart"
        )
    return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:most])


def _answerable(found: Sequence[_Found], names: Sequence[str], faults: Faults) -> list[_Found]:
    """Return the training questions whose answer can be given."""
    known = set(names)
    for each in found:
        if _right(each) not in known:
            faults.add(f"questions of train whose answer is not among the {len(names):,} most frequent", _right(each))
    return [each for each in found if _right(each) in known]


def _ask(found: _Found, contents: Mapping[str, str], settings: EvaluateSettings, *, is_choice: bool) -> Asked:
    question = found.question
    span = question.span if settings.video_text.localised else None
    answers = question.answers if is_choice else ()
    said = [cue.text for cue in found.cues if span is None or (cue.start < span[1] and cue.end > span[0])]
    return Asked(question.question, answers, contents[found.clip.path], span, " ".join(said))


def _how_shown(settings: EvaluateSettings) -> str:
    if settings.video_text.localised:
        return "with localisation: a question shows the seconds that it is about"
    return "without localisation: a question shows its whole clip"


def _name(files: Sequence[str]) -> str:
    path = Path(files[0]).resolve()
    return path.name if path.is_dir() else path.stem
