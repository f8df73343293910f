"""Every method on clips: from an index and a tiny model to result files that compare and report read."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.html_checks import check
from support.tiny import tiny_model, tiny_tokenizer
from support.tiny_video import tiny_videomae, tiny_vit_mae
from support.video_task import as_clip, draw, make_clips, write_task
from transformers import VideoMAEForVideoClassification

from diffmask.assemble.modality import modality_of_model
from diffmask.cli import main
from diffmask.config.evaluation import (
    AttentiveSettings,
    EvaluateSettings,
    FinetuneSettings,
    ProbeSettings,
    TaskSettings,
    VideoFinetuneSettings,
    VideoSettings,
)
from diffmask.core.errors import InputError
from diffmask.demo.rendered_clips import encode
from diffmask.evaluate.compare import CompareSettings, compare
from diffmask.evaluate.methods.frozen import TEMPERATURE, AttentivePool, AttentiveProber, Neighbours
from diffmask.evaluate.methods.video import LabelledViews, _empty_tokens, encode_clips
from diffmask.evaluate.results import Result, read_results
from diffmask.evaluate.run import evaluate
from diffmask.report.html.page import page
from diffmask.report.run.page import evaluation_part
from diffmask.tasks.task import Split, Task
from diffmask.tasks.video_task import read_video_task
from diffmask.train.optimizer import parameter_groups
from diffmask.video.model.load import load_video_model
from diffmask.video.read.dataset import ClipDataset, Sampling

TUNING = VideoFinetuneSettings(learning_rates=(3e-3,), epochs=4, patience=4, batch_size=4)
VIDEO = VideoSettings(stride=1, num_views=2)
OF_METHOD = {"finetune": {"finetune": TUNING}, "attentive": {"attentive": AttentiveSettings(epochs=10, batch_size=4)}}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    tiny_videomae().save_pretrained(folder / "videomae")
    tiny_vit_mae().save_pretrained(folder / "vit_mae")
    tiny_model().save_pretrained(folder / "text")
    tiny_tokenizer().save_pretrained(folder / "text")
    write_task(folder / "colours.parquet", make_clips(folder / "clips"))
    return folder


def settings_for(world, output, method="probe", model="videomae", task="colours.parquet", **changes):
    video = replace(VIDEO, **OF_METHOD.get(method, {}))
    given = {"method": method, "seeds": 1, "device": "cpu", "eval_batch_size": 8, "video": video} | changes
    return EvaluateSettings(str(world / model), TaskSettings((str(world / task),)), output=str(output), **given)


def read(path):
    return json.loads(path.read_text())


@pytest.mark.parametrize(
    ("method", "model", "chosen"),
    [
        ("probe", "videomae", {"C", "cross_validated"}),
        ("attentive", "videomae", {"learning_rate", "dev", "epoch", "epochs"}),
        ("knn", "videomae", {"neighbours", "dev"}),
        ("finetune", "videomae", {"learning_rate", "dev", "epoch", "epochs"}),
        ("probe", "vit_mae", {"C", "cross_validated"}),
        ("attentive", "vit_mae", {"learning_rate", "dev", "epoch", "epochs"}),
        ("knn", "vit_mae", {"neighbours", "dev"}),
    ],
)
def test_every_method_learns_the_colours(world, tmp_path, method, model, chosen):
    (path,) = evaluate(settings_for(world, tmp_path / "out", method, model))
    result = read(path)
    assert result["shares"][0]["test"]["all"]["accuracy"] == 1.0
    assert set(result["shares"][0]["chosen"]) == chosen
    assert result["method"] == method and result["task"]["kind"] == "single-label"
    assert [result["task"][f"num_{split}"] for split in ("train", "dev", "test")] == [12, 4, 6]
    kept = {"probe": set(), "attentive": {"attentive"}, "knn": {"neighbours"}, "finetune": {"finetune"}}[method]
    common = {"num_frames", "image_size", "sampling", "stride", "num_views", "reader"}
    assert set(result["settings"]["video"]) == common | kept
    assert ("probe" in result["settings"]) == (method == "probe") and "finetune" not in result["settings"]
    (gathered,) = read_results([tmp_path / "out"])
    assert gathered.first.predictions[1.0] == result["shares"][0]["predictions"]


def test_results_of_clips_are_compared_as_those_of_texts_are(world, tmp_path):
    for name, model in (("trained", "videomae"), ("image", "vit_mae")):
        evaluate(settings_for(world, tmp_path / name, "knn", model, seeds=2, name=name))
    found = compare(read_results([tmp_path / "trained", tmp_path / "image"]), CompareSettings(num_draws=1000))
    assert [score.name for score in found.scores] == ["trained", "image"]
    assert found.num_texts == 6 and found.num_seen == 0
    assert check(page("page", [evaluation_part([Result.read(tmp_path / "image")])]))


def test_shares_and_seeds(world, tmp_path):
    paths = evaluate(settings_for(world, tmp_path / "out", shares=(0.5, 1.0), seeds=2))
    assert [[share["num_train"] for share in read(path)["shares"]] for path in paths] == [[6, 12], [6, 12]]


def test_fine_tuning_is_the_same_twice_from_a_pretrained_encoder_by_other_views_in_each_epoch(
    world, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(LabelledViews, "set_epoch", lambda views, epoch: seen.append(epoch))
    video = replace(VIDEO, finetune=replace(TUNING, epochs=2))
    first, second = (read(evaluate(settings_for(world, tmp_path / name, "finetune", video=video))[0]) for name in "ab")
    assert first["shares"][0]["dev"] == second["shares"][0]["dev"]
    assert first["shares"][0]["predictions"] == second["shares"][0]["predictions"]
    assert {0, 1} <= set(seen)
    new = ["classifier.bias", "classifier.weight", "fc_norm.bias", "fc_norm.weight"]
    assert first["shares"][0]["fresh"] == new
    assert [entry.name for entry in (tmp_path / "a").iterdir()] == ["seed-0.json"]


def test_features_are_the_mean_over_the_views(world, tmp_path):
    settings = settings_for(world, tmp_path)
    task = read_video_task(settings)
    found = encode_clips(str(world / "videomae"), task, settings, tokens=True, progress=False)
    loaded = load_video_model(str(world / "videomae"))
    content, clip = list(task.clips.items())[3]
    sampling = Sampling(loaded.grid, stride=1, clips_per_video=2)
    views = ClipDataset([clip], sampling, augment=False)
    frames = torch.stack([views[number][0]["frames"] for number in (0, 1)]).float() / 255.0
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (loaded.mean, loaded.std))
    with torch.inference_mode():
        states = loaded.model.videomae((frames - mean) / std).last_hidden_state
    assert not torch.allclose(states[0], states[1])
    row = found.rows[content]
    torch.testing.assert_close(found.pooled[row], states.mean((0, 1)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.tokens[row].float(), states.mean(0), rtol=2e-3, atol=2e-3)


def test_the_patches_of_an_image_model_keep_their_order(world, tmp_path):
    settings = settings_for(world, tmp_path, model="vit_mae")
    task = read_video_task(settings)
    first, second = (
        encode_clips(str(world / "vit_mae"), task, settings, tokens=True, progress=False) for _ in range(2)
    )
    assert first.tokens.shape[1] == 16 and torch.equal(first.tokens, second.tokens)


def test_each_pass_over_the_training_clips_draws_other_views(world):
    loaded = load_video_model(str(world / "videomae"))
    task = read_video_task(settings_for(world, world))
    views = LabelledViews(ClipDataset(task.clips_of(task.train), Sampling(loaded.grid, stride=1)), task.train.labels)
    first = views[2]["frames"]
    assert torch.equal(views[2]["frames"], first)
    views.set_epoch(1)
    assert not torch.equal(views[2]["frames"], first)


def test_lower_layers_learn_more_slowly():
    config = tiny_videomae().config
    config.use_mean_pooling = True
    model = VideoMAEForVideoClassification(config)
    weights = {name for name, parameter in model.named_parameters() if parameter.ndim > 1}
    groups = parameter_groups(model, weights, 1.0, 0.1, 0.5)
    of = {id(parameter): group for group in groups for parameter in group["params"]}
    found = {name: (of[id(each)]["lr"], of[id(each)]["weight_decay"]) for name, each in model.named_parameters()}
    assert len(found) == sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert found["classifier.weight"] == (1.0, 0.1) and found["classifier.bias"] == found["fc_norm.weight"] == (
        1.0,
        0.0,
    )
    rates = {name: rate for name, (rate, _) in found.items()}
    assert {rate for name, rate in rates.items() if ".1." in name} == {0.5}
    assert {rate for name, rate in rates.items() if ".0." in name} == {0.25}
    assert {rate for name, rate in rates.items() if "embeddings" in name} == {0.125}


def test_clips_that_are_the_same_file_are_no_unseen_test(world, tmp_path):
    clips = make_clips(tmp_path / "clips", seed=1)
    copied = tmp_path / "clips" / "copy.mp4"
    copied.write_bytes((tmp_path / "clips" / "train-0.mp4").read_bytes())
    # an equal caption is no leakage
    clips = [replace(clip, caption="a square moves") for clip in [*clips, as_clip(copied, "blue", "test")]]
    task = write_task(tmp_path / "leaky.parquet", clips)
    settings = replace(settings_for(world, tmp_path / "out", "knn"), task=TaskSettings((task,)))
    result = read(evaluate(settings)[0])
    assert sorted(result["unseen"]) == [False, *[True] * 6]
    assert result["task"]["leakage"]["summary"] == (
        "1 of the 7 clips of test (14.3 %) are files of other splits too: 1 in train (1 with another label). "
        "6 are unseen."
    )
    assert result["shares"][0]["test"]["unseen"]["accuracy"] == 1.0 > result["shares"][0]["test"]["all"]["accuracy"]


def test_several_labels(world, tmp_path):
    clips = make_clips(tmp_path / "clips", seed=2)
    clips = [replace(clip, label="red|warm") if clip.label == "red" else clip for clip in clips]
    task = TaskSettings((write_task(tmp_path / "several.parquet", clips),), kind="multi-label")
    for method in ("probe", "attentive", "knn", "finetune"):
        result = read(evaluate(replace(settings_for(world, tmp_path / method, method), task=task))[0])
        assert result["task"]["labels"] == ["blue", "red", "warm"]
        assert result["shares"][0]["test"]["all"]["micro_f1"] > 0.9


def test_the_command(world, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["evaluate", str(world / "videomae"), "--task", str(world / "colours.parquet"), "--method", "knn"]
    assert main([*given, "--seeds", "1", "--name", "tiny", "video.stride=1", "video.num_views=1"]) == 0
    printed = capsys.readouterr().out
    assert "train: 12 clips\ndev:   4 clips\ntest:  6 clips\n" in printed
    assert "None of the 6 clips of test is a file of train or dev too." in printed
    assert "training clips" in printed and "all 6" in printed
    assert "results: evaluations/tiny/colours-knn" in printed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "knn", "model": "text"},
            "bert, a model of text, is not evaluated by the method knn; choose from: finetune, probe",
        ),
        ({"model": "text"}, "video.stride=1 has no effect with bert, a model of text; leave it out"),
        (
            {"finetune": FinetuneSettings(epochs=3)},
            "finetune.epochs=3 .* videomae, .* write video.finetune.epochs",
        ),
        (
            {"method": "finetune", "model": "vit_mae"},
            "vit_mae model, which is not fine-tuned on clips; choose from: probe",
        ),
        ({"video": VideoSettings(num_frames=7)}, "7 frames"),
        (
            {"video": VideoSettings(num_frames=16), "model": "vit_mae"},
            "image model, which takes clips of 1 frame, not of",
        ),
        ({"video": VideoSettings(num_views=0)}, "video.num_views=0 must be at least 1"),
        ({"video": VideoSettings(sampling="all")}, "unknown sampling 'all'; choose from: dense, uniform"),
        ({"video": VideoSettings(reader="eyes")}, "unknown reader 'eyes'; choose from: auto, decord, pyav, torchcodec"),
        ({"video": VideoSettings(neighbours=(0,))}, r"video.neighbours=\[0\] must hold numbers at least 1"),
        (
            {"video": VideoSettings(unreadable="skip")},
            "unknown video.unreadable 'skip'; choose from: refuse, leave-out",
        ),
        (
            {"video": VideoSettings(finetune=VideoFinetuneSettings(layer_decay=0.0))},
            r"video.finetune.layer_decay=0 is outside \(0, 1\]",
        ),
        (
            {"video": VideoSettings(attentive=AttentiveSettings(learning_rates=()))},
            "video.attentive.learning_rates is empty; give one or more",
        ),
    ],
)
def test_what_is_refused(world, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        evaluate(settings_for(world, tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "changes", "message"),
    [
        ("probe", {"max_length": 128}, "max_length=128 has no effect with videomae, a model of video; leave it out"),
        ("knn", {"probe": ProbeSettings(folds=5)}, "probe.folds=5 has no effect with the method knn; it is for the "),
        ("attentive", {"probe": ProbeSettings(folds=5)}, "the method attentive; it is for the method probe, so leave"),
        ("finetune", {"probe": ProbeSettings(max_iterations=9)}, "probe.max_iterations=9 has no effect with the metho"),
        (
            "probe",
            {"video": VideoSettings(attentive=AttentiveSettings(heads=1))},
            "video.attentive.heads=1 has no effect with the method probe; it is for the method attentive, so leave it "
            "out or choose that method",
        ),
        (
            "attentive",
            {"video": VideoSettings(finetune=VideoFinetuneSettings(learning_rates=(1e-3, 1e-2)))},
            "video.finetune.learning_rates=[0.001, 0.01] has no effect with the method attentive; it is for the method "
            "finetune",
        ),
        ("knn", {"video": VideoSettings(finetune=TUNING)}, "video.finetune.learning_rates=[0.003] has no effect"),
        (
            "probe",
            {"video": VideoSettings(neighbours=(3,))},
            "video.neighbours=[3] has no effect with the method probe",
        ),
        (
            "knn",
            {"video": VideoSettings(sampling="uniform", stride=2)},
            "video.stride=2 has no effect with video.sampling=uniform; it is for dense sampling, so leave one of them "
            "out",
        ),
    ],
)
def test_settings_that_do_nothing_are_refused(world, tmp_path, method, changes, message):
    with pytest.raises(InputError) as caught:
        evaluate(settings_for(world, tmp_path / "out", method, **changes))
    assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("method", "changes"),
    [
        ("probe", {"probe": ProbeSettings(folds=5), "precision": "bf16", "shares": (0.5,)}),
        ("knn", {"video": VideoSettings(neighbours=(3,), sampling="uniform", num_workers=1)}),
        ("attentive", {"video": VideoSettings(attentive=AttentiveSettings(heads=1), stride=2, unreadable="leave-out")}),
        ("finetune", {"video": VideoSettings(finetune=TUNING, image_size=32)}),
    ],
)
def test_settings_that_the_method_reads_are_taken(world, tmp_path, method, changes):
    config = SimpleNamespace(model_type="videomae")
    modality_of_model("videomae").evaluation.check(settings_for(world, tmp_path, method, **changes), config)


def test_a_clip_that_is_gone_since_it_was_indexed(world, tmp_path):
    clips = make_clips(tmp_path / "clips", seed=3)
    settings = settings_for(world, tmp_path / "out")
    settings = replace(settings, task=TaskSettings((write_task(tmp_path / "gone.parquet", clips),)))
    (tmp_path / "clips" / "train-1.mp4").unlink()
    with pytest.raises(InputError, match="train-1.mp4 cannot be read any more .* run `diffmask index` again"):
        evaluate(settings)
    encode(draw("red", 9), tmp_path / "clips" / "train-1.mp4")  # another file of the same name
    with pytest.raises(InputError, match="train-1.mp4.* run `diffmask index` again"):
        evaluate(settings)


@pytest.mark.slow  # processes are started afresh
@pytest.mark.parametrize("method", ["knn", "finetune"])
def test_other_processes_read_the_same_and_say_what_they_cannot(world, tmp_path, method, monkeypatch):
    video = replace(VIDEO, finetune=replace(TUNING, epochs=1)) if method == "finetune" else VIDEO
    clips = make_clips(tmp_path / "clips", seed=3)
    task = TaskSettings((write_task(tmp_path / "torn.parquet", clips),))
    given = replace(settings_for(world, tmp_path / "none", method, video=video), task=task)
    several = replace(given, output=str(tmp_path / "two"), video=replace(video, num_workers=2))
    one, two = (read(evaluate(each)[0])["shares"][0] for each in (given, several))
    assert one["predictions"] == two["predictions"] and one["dev"] == two["dev"]
    path = tmp_path / "clips" / "train-1.mp4"
    encode(draw("red", 9), path)
    with pytest.raises(InputError, match=r"train-1.mp4.*run `diffmask index` again") as raised:
        evaluate(replace(several, output=str(tmp_path / "torn")))
    assert len(str(raised.value).splitlines()) == 1 and "Traceback" not in str(raised.value)


def test_tokens_that_do_not_fit_are_refused(monkeypatch):
    monkeypatch.setattr("diffmask.evaluate.methods.video.free_memory", lambda: 2**30)
    with pytest.raises(
        InputError, match=r"tokens of 1,000 clips take 2.2 GiB, and 1.0 GiB are free; use the method probe"
    ):
        _empty_tokens(1000, 1568, 768)


def neighbours_task(kind="single-label"):
    labels = [0, 0, 1, 1, 2] if kind == "single-label" else [[0], [0, 1], [1], [1], []]
    train = Split(list("abcde"), None, labels)
    dev = Split(list("fg"), None, labels[:2])
    return Task("made", kind, ["x", "y", "z"], {"train": train, "dev": dev, "test": dev}, "")


@pytest.mark.parametrize("kind", ["single-label", "multi-label"])
def test_neighbours_against_a_slow_reference(kind):
    random = torch.Generator().manual_seed(0)
    features = {
        name: torch.randn(number, 6, generator=random) for name, number in (("train", 5), ("dev", 2), ("test", 9))
    }
    task = neighbours_task(kind)
    task = replace(task, splits={**task.splits, "test": Split(list("hijklmnop"), None, [task.train.labels[0]] * 9)})
    settings = SimpleNamespace(metric="micro_f1", video=SimpleNamespace(neighbours=(3,)))
    predicted = Neighbours(features, task, settings).predict([0, 1, 2, 4], 0)
    known = features["train"][[0, 1, 2, 4]].double().numpy()
    mean = known.mean(0)
    expected = []
    for row in features["test"].double().numpy():
        one = (row - mean) / np.linalg.norm(row - mean)
        cosines = [float(one @ (each - mean) / np.linalg.norm(each - mean)) for each in known]
        votes, total = np.zeros(3), 0.0
        for place in sorted(range(4), key=lambda place: -cosines[place])[:3]:
            weight = np.exp(cosines[place] / TEMPERATURE)
            label = task.train.labels[[0, 1, 2, 4][place]]
            for each in label if isinstance(label, list) else [label]:
                votes[each] += weight
            total += weight
        expected.append(int(votes.argmax()) if kind == "single-label" else np.flatnonzero(votes / total > 0.5).tolist())
    assert predicted.test == expected and predicted.chosen["neighbours"] == 3


def test_dev_chooses_how_many_neighbours():
    # the nearest clip is mislabelled, the next two are right
    train = Split(list("abcde"), None, [1, 0, 0, 1, 1])
    features = torch.tensor([[1.0, 0.0], [1.0, 0.2], [1.0, -0.2], [-1.0, 0.0], [-1.0, 0.1]])
    one = Split(["f"], None, [0])
    task = Task("made", "single-label", ["x", "y"], {"train": train, "dev": one, "test": one}, "")
    settings = SimpleNamespace(metric="accuracy", video=SimpleNamespace(neighbours=(1, 3, 100)))
    made = {"train": features, "dev": torch.tensor([[1.0, 0.0]]), "test": torch.tensor([[1.0, 0.0]])}
    assert Neighbours(made, task, settings).predict(range(5), 0).chosen == {"neighbours": 3, "dev": 1.0}


def test_an_attentive_probe_finds_the_token_that_tells():
    # one token of sixteen tells the label, at another place in each clip, so that the mean hides it in the others
    random = torch.Generator().manual_seed(0)
    tokens = torch.randn(90, 16, 8, generator=random) * 3.0
    labels = torch.randint(2, (90,), generator=random).tolist()
    for row, label in enumerate(labels):
        tokens[row, int(torch.randint(16, (1,), generator=random)), :2] = torch.tensor([12.0, 8.0 if label else -8.0])
    bounds = {"train": range(50), "dev": range(50, 70), "test": range(70, 90)}
    splits = {
        name: Split([str(row) for row in rows], None, [labels[row] for row in rows]) for name, rows in bounds.items()
    }
    task = Task("made", "single-label", ["x", "y"], splits, "")
    attentive = AttentiveSettings(learning_rates=(0.03,), epochs=40, batch_size=16, heads=1)
    settings = SimpleNamespace(
        device="cpu", metric="accuracy", eval_batch_size=8, video=SimpleNamespace(attentive=attentive)
    )
    prober = AttentiveProber(tokens.half(), {name: list(rows) for name, rows in bounds.items()}, task, settings)
    predicted = prober.predict(range(50), 0)
    right = np.mean(np.array(predicted.test) == np.array(splits["test"].labels))
    assert right > 0.9 and predicted.chosen["dev"] > 0.9
    assert prober.predict(range(50), 0).test == predicted.test


def test_an_attentive_probe_begins_with_the_mean():
    pool = AttentivePool(torch.zeros(6), torch.ones(6), num_heads=4, num_labels=3)
    assert pool.heads == 2  # 4 do not divide 6
    torch.nn.init.normal_(pool.classify.weight)
    tokens = torch.randn(2, 5, 6)
    torch.testing.assert_close(pool(tokens), pool.classify(tokens.mean(1)))
