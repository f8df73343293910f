"""Questions about clips for a tiny model: red clips are about a kinase, blue ones about a protein."""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from diffmask.demo.draw_clips import encode
from diffmask.video.index.index import write_index
from diffmask.video.read.readers import open_reader
from diffmask.video_text.model.load import LoadedVideoText
from support.tiny import tiny_tokenizer
from support.tiny_video_text import tiny_video_text
from support.video_task import NUM_FRAMES, make_clips

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


def write_published(folder, clips):
    """Write clips as TVQA and Social-IQ 2.0 are laid out, with boxes, and other clips beside them.

    Args:
        folder: The folder of data sets.
        clips: Clips of the splits train and dev.
    """
    frames, videos = folder / "tvqa" / "frames", folder / "social-iq" / "video"
    for path in (frames, videos, folder / "social-iq" / "qa", folder / "social-iq" / "transcript", folder / "general"):
        path.mkdir(parents=True)
    asked = ask(clips)
    subtitles, splits = [], {"train": [], "val": []}
    rows = {"tvqa": {"train": [], "val": []}, "social-iq": {"train": [], "val": []}}
    for place, (clip, question) in enumerate(zip(clips, asked, strict=True)):
        split, name = {"train": "train", "dev": "val"}[clip.split], f"s01e{place:02}_seg01_clip_00"
        answers = {f"a{number}": answer for number, answer in enumerate(question["answers"])}
        common = {"q": question["question"], "qid": place, "answer_idx": question["answer"], **answers}
        tvqa = common | {"vid_name": name, "show_name": "The Big Bang Theory", "ts": "0.0-0.4"}
        rows["tvqa"][split].append(tvqa | {"a4": "we"})
        subtitles.append({"vid_name": name, "sub": [{"text": "the dose was found", "start": 0.0, "end": 0.3}]})
        with open_reader(clip, "pyav") as reader:
            pictures = reader.read(range(reader.num_frames))
        (frames / name).mkdir()
        for number, picture in enumerate(pictures, 1):
            Image.fromarray(picture.numpy()).save(frames / name / f"{number:05}.jpg")
        shutil.copy(clip.path, videos / f"v{place}.mp4")
        rows["social-iq"][split].append(common | {"vid_name": f"v{place}", "ts": "0.0-0.4", "ans_corr": "corr"})
        splits[split].append(f"v{place}")
        cue = "WEBVTT\n\n00:00.000 --> 00:00.300\nthe dose was found\n"
        (folder / "social-iq" / "transcript" / f"v{place}.vtt").write_text(cue)
    for split in ("train", "val"):
        write_questions(folder / "tvqa" / f"tvqa_{split}.jsonl", rows["tvqa"][split])
        write_questions(folder / "social-iq" / "qa" / f"qa_{split}.json", rows["social-iq"][split])
    write_questions(folder / "tvqa" / "tvqa_preprocessed_subtitles.jsonl", subtitles)
    (folder / "social-iq" / "original_split.json").write_text(json.dumps({"subsets": {"youtubeclips": splits}}))
    for number in range(4):  # green, and nothing moves
        green = np.zeros((NUM_FRAMES, 32, 32, 3), np.uint8) + np.array([40, 150 + 20 * number, 60], np.uint8)
        encode(green, folder / "general" / f"{number}.mp4")
    for name, first in (("tvqa", "s01e00_seg01_clip_00"), ("social-iq", "v0")):
        (folder / name / "boxes.csv").write_text(f"clip,frame,x1,y1,x2,y2\n{first},0,0,0,16,16\n")
