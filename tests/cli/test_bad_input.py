"""What users get wrong: one sentence on stderr, exit status 2, no traceback, and nothing is lost.

Run with `-rP -k table` to print the table.
"""

import pytest
import torch
import yaml
from support.tiny import WORDS, tiny_model, tiny_tokenizer

from diffmask.cli import main


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    generator = torch.Generator().manual_seed(0)
    lines = [" ".join(WORDS[i] for i in torch.randint(len(WORDS), (9,), generator=generator)) for _ in range(60)]
    (folder / "text.txt").write_text("\n".join(lines))
    (folder / "empty.txt").write_text("")
    (folder / "binary.txt").write_bytes(b"\x7fELF\x00\x01\x02\x00")
    (folder / "latin.txt").write_bytes("caf\xe9 au lait\n".encode("latin-1"))
    (folder / "broken.jsonl").write_text('{"text": "kinase"}\n{"text": "kin\n')
    (folder / "table.csv").write_text("title,body\nkinase,protein cell\n")
    (folder / "long.txt").write_text(" ".join(WORDS * 130_000))
    (folder / "rare.txt").write_text("kinase protein cell\n")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    tiny_model(hidden_size=48).save_pretrained(folder / "other")
    tiny_tokenizer().save_pretrained(folder / "other")
    _gpt(folder / "gpt")
    _without_mask(folder / "maskless")
    _slow(folder / "slow")
    (folder / "config.yaml").write_text(
        yaml.safe_dump(
            {
                "model": str(folder / "model"),
                "output": str(folder / "run"),
                "data": {"train": [str(folder / "text.txt")], "max_length": 32, "cache": str(folder / "cache")},
                "masking": {"policy": "whole-word"},
                "training": {"steps": 2, "batch_size": 4, "device": "cpu", "save_every": 0},
            }
        )
    )
    model = str(folder / "model")
    assert main(["anchors", str(folder / "text.txt"), "--model", model, "-o", str(folder / "anchors")]) == 0
    return folder


def _gpt(folder):
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=30, n_embd=8, n_layer=1, n_head=1)).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)


def _without_mask(folder):
    tiny_model().save_pretrained(folder)
    tokenizer = tiny_tokenizer()
    tokenizer.mask_token = None
    tokenizer.save_pretrained(folder)


def _slow(folder):
    """CANINE reads characters, with a tokenizer that exists in Python only."""
    from transformers import CanineTokenizer

    tiny_model().save_pretrained(folder)
    CanineTokenizer().save_pretrained(folder)


PRETRAIN = ["pretrain", "{w}/config.yaml"]
ANCHORS = ["anchors", "--model", "{w}/model", "-o", "{o}"]
CASES = {
    "missing file": ([*ANCHORS, "{w}/nowhere.txt"], ["nowhere.txt"]),
    "empty file": ([*ANCHORS, "{w}/empty.txt"], ["empty.txt"]),
    "binary file": ([*ANCHORS, "{w}/binary.txt"], ["binary.txt"]),
    "wrong column": ([*ANCHORS, "{w}/table.csv", "--column", "abstract"], ["'abstract'", "title", "body"]),
    "invalid JSON": ([*ANCHORS, "{w}/broken.jsonl"], ["broken.jsonl", "line 2", '{{"text": "kin']),
    "not UTF-8": ([*ANCHORS, "{w}/latin.txt"], ["latin.txt", "UTF-8"]),
    "no word above the minimum count": ([*ANCHORS, "{w}/rare.txt", "--min-count", "5"], ["5"]),
    "output folder that exists": ([*ANCHORS[:-1], "{w}/anchors", "{w}/text.txt"], ["anchors", "--overwrite"]),
    "tokenizer without mask token": ([*PRETRAIN, "model={w}/maskless", "output={o}"], ["maskless", "no mask token"]),
    "slow tokenizer": ([*PRETRAIN, "model={w}/slow", "output={o}"], ["slow", "tokenizer.json"]),
    "model without MLM head": ([*PRETRAIN, "model={w}/gpt", "output={o}"], ["gpt2", "no masked language model's head"]),
    "no such model": ([*PRETRAIN, "model={w}/void", "output={o}"], ["void", "save_pretrained"]),
    "ratio outside [0, 1]": ([*PRETRAIN, "masking.ratio=1.5", "output={o}"], ["1.5", "[0, 1]"]),
    "unknown key": ([*PRETRAIN, "masking.ratoi=0.2", "output={o}"], ["masking.ratoi", "masking.ratio"]),
    "anchors of another model": (
        [*PRETRAIN, "model={w}/other", "masking.policy=difference", "masking.anchors={w}/anchors", "output={o}"],
        ["anchors were made for", "architecture", "diffmask anchors"],
    ),
    "misspelt policy": ([*PRETRAIN, "masking.policy=diference", "output={o}"], ["unknown policy 'diference'"]),
    "misspelt mixture": (
        [*PRETRAIN, "masking.policy=mixture", "masking.mixture=[difference, pim]", "output={o}"],
        ["unknown policy in `masking.mixture` 'pim'"],
    ),
    "no anchors": ([*PRETRAIN, "masking.policy=difference", "output={o}"], ["needs anchors", "diffmask anchors"]),
    "anchors that are none": ([*PRETRAIN, "masking.anchors={w}/model", "output={o}"], ["model"]),
    "config that is missing": (["pretrain", "{w}/no.yaml"], ["No such file", "no.yaml"]),
    "no config": (["pretrain"], ["no config was given"]),
    "rows longer than the model reads": ([*PRETRAIN, "data.max_length=100000", "output={o}"], ["max_length=100000"]),
    "overlap of a whole row": ([*PRETRAIN, "data.overlap=32", "output={o}"], ["overlap=32"]),
    "wordfreq without that language": ([*ANCHORS, "{w}/text.txt", "--reference", "wordfreq:xx"], ["xx"]),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_and_status_two(world, tmp_path, capsys, case):
    arguments, said = CASES[case]
    out = tmp_path / "out"
    before = sorted(path.name for path in world.iterdir())
    status = main([argument.format(w=world, o=out) for argument in arguments])
    lines = capsys.readouterr().err.strip().splitlines()
    sentences = [line for line in lines if line.startswith("diffmask: ")]
    assert status == 2, lines
    assert len(sentences) == 1
    assert not any("Traceback" in line for line in lines)
    assert len(sentences[0]) < 420
    for part in said:
        assert part.replace("{{", "{") in sentences[0]
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
    assert sorted(path.name for path in world.iterdir()) == before


def test_a_run_is_not_overwritten(world, tmp_path, capsys):
    arguments = ["pretrain", str(world / "config.yaml"), f"output={tmp_path / 'run'}"]
    assert main(arguments) == 0
    weights = (tmp_path / "run" / "model" / "model.safetensors").read_bytes()
    assert main(arguments) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (tmp_path / "run" / "model" / "model.safetensors").read_bytes() == weights


def test_a_line_of_ten_megabytes_is_no_problem(world, tmp_path, capsys):
    assert (world / "long.txt").stat().st_size > 10e6
    assert main(["count", str(world / "long.txt"), "-o", str(tmp_path / "counts.parquet")]) == 0


def test_nan_stops_with_the_last_good_checkpoint(world, tmp_path, capsys):
    from safetensors.torch import load_file

    run = tmp_path / "run"
    overrides = [
        "training.learning_rate=1e38",
        "training.steps=20",
        "training.save_every=1",
        "training.warmup_ratio=0.9",
    ]
    status = main(["pretrain", str(world / "config.yaml"), f"output={run}", "training.max_grad_norm=0", *overrides])
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert status == 2
    assert "the loss is nan at step" in sentence
    assert "in the batch of samples" in sentence
    kept = sorted(run.glob("checkpoint-*"))
    assert kept
    assert str(max(kept, key=lambda path: int(path.name.split("-")[1]))) in sentence
    assert load_file(kept[-1] / "model.safetensors")


def test_a_full_disk_is_one_sentence(world, tmp_path, capsys, monkeypatch):
    import errno

    from diffmask.text.anchor_set import AnchorSet

    def fills(self, folder, overwrite=False):
        raise OSError(errno.ENOSPC, "No space left on device", str(folder))

    monkeypatch.setattr(AnchorSet, "save", fills)
    arguments = ["anchors", str(world / "text.txt"), "--model", str(world / "model"), "-o", str(tmp_path / "a")]
    assert main(arguments) == 2
    assert f"diffmask: No space left on device: {tmp_path / 'a'}" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["anchors", "count", "preview", "pretrain", "quickstart", "bench"])
def test_every_command_explains_itself_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert done.value.code == 0
    assert f"diffmask {command}" in text.split("example")[-1]
