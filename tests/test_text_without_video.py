"""Text needs none of the libraries that read and embed clips: its commands run where they are not installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.labelled import labelled_rows
from support.tiny import save_encoder, write_corpus

REPO = Path(__file__).parents[1]
HIDING = """
import sys
HIDDEN = {"av", "decord", "open_clip", "timm", "torchcodec", "torchvision"}
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.split(".")[0] in HIDDEN else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = map(Hiding, sys.meta_path)
"""


def without_video(code, folder):
    command = [sys.executable, "-W", "ignore", "-c", HIDING + code]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=ENVIRONMENT, check=False)


ENVIRONMENT = {"PYTHONPATH": str(REPO), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


@pytest.fixture
def folder(tmp_path):
    save_encoder(tmp_path / "model")
    write_corpus(tmp_path)
    (tmp_path / "task").mkdir()
    for seed, (split, number) in enumerate({"train": 40, "dev": 12, "test": 12}.items()):
        rows = labelled_rows(number, seed)
        (tmp_path / "task" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "config.yaml").write_text(
        "model: model\noutput: run\ndata: {train: [corpus.txt], max_length: 16}\n"
        "masking: {policy: difference, anchors: anchors}\ntraining: {steps: 2, batch_size: 2, device: cpu}\n"
    )
    return tmp_path


def test_text_runs_without_the_libraries_of_video(folder):
    commands = [
        ["count", "corpus.txt", "-o", "counts.parquet"],
        ["anchors", "corpus.txt", "--model", "model", "--min-count", "1", "--num-anchors", "2", "-o", "anchors"],
        ["preview", "corpus.txt", "--anchors", "anchors", "-o", "page.html"],
        ["pretrain", "config.yaml"],
        ["evaluate", "run/model", "--task", "task", "--method", "probe", "--seeds", "1", "-o", "results"],
        ["policies"],
    ]
    done = without_video(
        f"""
import diffmask
from diffmask.cli import main
diffmask.pretrain, diffmask.MaskedTrainer
for command in {commands}:
    assert not main(command), command
print(sorted(HIDDEN & set(sys.modules)))
""",
        folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize(
    "command",
    [
        ["index", ".", "-o", "clips.parquet"],
        ["quickstart", "--video", "-o", "q"],
        ["quickstart", "--video-text", "-o", "q"],
    ],
)
def test_commands_of_video_say_what_to_install(folder, command):
    (folder / "a.mp4").write_bytes(b"no video")
    done = without_video(f"from diffmask.cli import main\nsys.exit(main({command}))", folder)
    assert done.returncode == 2, done.stderr[-3000:]
    said = done.stderr.strip().splitlines()[-1]
    assert "No module named '" in said
    assert said.endswith("pip install 'diffmask[video]'")
    assert "Traceback" not in done.stderr
