"""Questions about clips for a tiny model: red clips are about a kinase, blue ones about a protein."""

import json
from pathlib import Path

from diffmask.video.index.index import write_index
from diffmask.video_text.model.load import LoadedVideoText
from support.tiny import tiny_tokenizer
from support.tiny_video_text import tiny_video_text
from support.video_task import make_clips

NAMED = {"red": "kinase", "blue": "protein"}
OTHERS = ("rat", "dose", "cell")


def save_model(folder, seed=0, **options):
    """Save a tiny model of video and text with its tokenizer, and return the folder's name."""
    model = tiny_video_text(fresh=False, seed=seed, **options)
    LoadedVideoText(str(folder), model, tiny_tokenizer(), (0.5,) * 3, (0.5,) * 3, ()).save(folder)
    return str(folder)


def write_questions(path, questions):
    """Write a file of questions in the plain format, and return its name."""
    Path(path).write_text("".join(json.dumps(question) + "\n" for question in questions))
    return str(path)


def ask(clips, *, number=4, right=None):
    """Return a question about each clip, of which nothing but the clip tells the answer.

    Args:
        clips: The clips.
        number: Number of answers.
        right: From the number of a clip to its right answer; by default what its colour is named.
    """
    questions = []
    for place, clip in enumerate(clips):
        answers = [*NAMED.values(), *OTHERS][:number]
        answer = NAMED[clip.label] if right is None else right(place)
        answers = [word for word in answers if word != answer][: number - 1]
        answers.insert(place // 2 % number, answer)
        asked = {"clip": Path(clip.path).name, "question": "what was found in the blood of a rat", "split": clip.split}
        questions.append(asked | {"answers": answers, "answer": answers.index(answer)})
    return questions


def write_world(folder, splits=(("train", 24), ("dev", 8), ("test", 12))):
    """Make clips, a model, questions and captions in a folder, and return the clips."""
    clips = make_clips(folder / "clips", splits)
    save_model(folder / "model")
    write_index(folder / "clips.parquet", clips)
    write_questions(folder / "clips" / "questions.jsonl", ask(clips))
    rows = [f"{Path(clip.path).name},{clip.split},we found the {NAMED[clip.label]}\n" for clip in clips]
    (folder / "clips" / "captions.csv").write_text("clip,split,caption\n" + "".join(rows))
    return clips
