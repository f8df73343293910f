"""`diffmask report`: the page of a real short run, and of runs of which something is missing."""

import json
import re
import shutil

import pytest
import yaml
from support.domain import SENTENCES
from support.html_checks import check
from support.results import result, write_results
from support.tiny import tiny_model, tiny_tokenizer

from diffmask.assemble.modality import read_config, resolve
from diffmask.cli import main
from diffmask.pretrain.text import read_rows, row_lengths, tokenise_settings
from diffmask.report.run.masked_text import held_out_documents
from diffmask.text.anchors.find import AnchorSettings, build_anchors

EVIL = "<script>alert(1)</script>"


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("diffmask.report.text.preview.NUM_DRAWS", 60)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a model whose name is a script, text that holds one, and anchors."""
    folder = tmp_path_factory.mktemp("report")
    tiny_model().save_pretrained(folder / EVIL)
    tiny_tokenizer().save_pretrained(folder / EVIL)
    texts = [f"{EVIL} {SENTENCES[number % 3]} {number} rats ." for number in range(60)]
    (folder / "papers.txt").write_text("\n".join(texts) + "\n")
    settings = AnchorSettings(data=[str(folder / "papers.txt")], model=str(folder / EVIL), num_anchors=2, min_count=2)
    build_anchors(settings).save(folder / "anchors")
    return folder


def pretrain(world, name, training=None, **masking):
    settings = {
        "model": str(world / EVIL),
        "output": str(world / name),
        "data": {"train": [str(world / "papers.txt")], "eval_share": 0.2, "cache": str(world / "cache")},
        "masking": {"anchors": str(world / "anchors")} | masking,
        "training": {"steps": 6, "batch_size": 8, "eval_every": 3, "save_every": 3, "log_every": 1, "device": "cpu"}
        | (training or {}),
    }
    settings["data"]["max_length"] = 64
    path = world / f"{name}.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in settings.items() if value is not None}))
    assert main(["pretrain", str(path)]) == 0
    return world / name


@pytest.fixture(scope="module")
def done(world):
    """A run with a ratio that falls, and an evaluation."""
    run = pretrain(world, "run", ratio={"schedule": "linear", "start": 0.6, "end": 0.2})
    write_results(run / "evaluation" / "chemprot-finetune", [result(seed, 8 - seed) for seed in range(2)])
    return run


@pytest.fixture
def run(done, tmp_path):
    """A copy to take things away from."""
    return shutil.copytree(done, tmp_path / "run")


def report(run, *more):
    return main(["report", str(run), *map(str, more)])


def page_of(run, capsys, *more):
    """Return the page, its text, and the lines that say what is missing."""
    assert report(run, "--overwrite", *more) == 0
    lines = capsys.readouterr().out.splitlines()
    found = (line.partition("not on the page: ") for line in lines)
    missing = [line for _, is_said, line in found if is_said]
    text = (run / "report.html").read_text()
    shown = check(text).text
    for line in missing:
        assert line.replace("`", "") in shown
    return text, shown, missing


def test_the_page_of_a_run_shows_all_of_it(done, capsys):
    text, shown, missing = page_of(done, capsys)
    assert missing == []
    links = re.findall(r'<li><a href="#([^"]+)">', text)
    assert links == ["run", "losses", "schedules", "anchors", "masked", "speed", "evaluation"]
    for step, ratio in ((0, 60), (3, 40), (5, 26.7)):
        assert shown.count(f"step {step}: ratio {ratio:.1f}\u00a0%") >= 5  # four sentences, and the table
    assert "They are of text that was held out of the training." in shown
    assert "masking.ratioschedule linear, start 0.6, end 0.2instead of 0.15" in shown
    assert json.loads((done / "inputs.json").read_text())["data"][0]["sha256"] in shown
    assert "75.0 ± 7.1" in shown
    reached = re.search(r"mask ratio reached.*?</tr>", text)[0]
    assert [float(each) for each in re.findall(r"([\d.]+) %", reached)] == pytest.approx([60, 40, 26.7], abs=3)
    assert not list(done.glob("*.tmp"))


def test_names_and_texts_that_are_scripts_do_no_harm(done, capsys):
    text, shown, _ = page_of(done, capsys)
    assert "<script" not in text.lower()
    assert EVIL in shown  # as the name of the model
    sentences = re.findall(r'<p class="text">(.*?)</p>', text)
    assert any("script" in re.sub("<[^>]*>", "", each) for each in sentences)


def test_the_same_run_has_the_same_page(done, capsys):
    assert page_of(done, capsys)[0] == page_of(done, capsys)[0]


def test_a_page_is_replaced_only_where_that_is_asked(done, tmp_path, capsys):
    path = tmp_path / "page.html"
    assert report(done, "-o", path) == 0
    assert f"wrote {path}" in capsys.readouterr().out
    before = path.read_bytes()
    assert report(done, "-o", path) == 2
    assert "page.html exists; use --overwrite to replace it" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert report(done, "-o", path, "--overwrite") == 0


def test_what_is_no_run_is_one_sentence(tmp_path, capsys):
    for folder in (tmp_path / "missing", tmp_path):
        assert report(folder) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.endswith(
            f"{folder} is no run (it holds no config.yaml); give the output folder of `diffmask pretrain`"
        )
    (tmp_path / "config.yaml").write_text("a: [")
    assert report(tmp_path) == 0
    assert "Settings: " in capsys.readouterr().out


def test_an_unfinished_run_says_how_far_it_is(run, capsys):
    shutil.rmtree(run / "model")
    lines = (run / "log.jsonl").read_text().splitlines(keepends=True)
    (run / "log.jsonl").write_text("".join(line for line in lines if json.loads(line)["step"] <= 4) + '{"step": 5, "lo')
    text, shown, missing = page_of(run, capsys)
    assert missing == ["The model: the run stands at step 4 of 6; `diffmask pretrain` with --resume continues it."]
    assert "not finished: 4 of 6 steps so far" in shown
    assert "step 2: ratio" in shown and "step 3: ratio" in shown and "step 4: ratio" not in shown


def test_a_run_of_an_older_version_has_a_page(run, capsys):
    for name in ("run.json", "inputs.json"):
        (run / name).unlink()
    shutil.rmtree(run / "evaluation")
    settings = yaml.safe_load((run / "config.yaml").read_text())
    settings["masking"]["colour"] = "red"
    (run / "config.yaml").write_text(yaml.safe_dump(settings))
    text, shown, missing = page_of(run, capsys)
    assert [line.split(":")[0] for line in missing] == [
        "Schedules and heat maps",
        "Machine, versions and time",
        "Data and anchors",
        "Evaluation",
    ]
    assert "unknown setting `masking.colour`" in missing[0]
    assert "no run.json" in missing[1]
    assert "masking.colourred" in shown and "losses" in re.findall(r'href="#([^"]+)"', text)


def test_time_before_it_was_recorded_is_said(run, capsys):
    record = json.loads((run / "run.json").read_text())
    record["sessions"][0]["first_step"] = 2
    (run / "run.json").write_text(json.dumps(record))
    assert page_of(run, capsys)[2] == ["Time: what the run took up to step 2 was not recorded."]


def test_damaged_files_are_said_and_stop_nothing(run, capsys):
    for name in ("run.json", "inputs.json"):
        (run / name).write_text("{")
    (run / "log.jsonl").write_text("a\nb\n")
    (run / "evaluation" / "chemprot-finetune" / "seed-1.json").write_text("{")
    missing = page_of(run, capsys)[2]
    assert [re.search("run.json|inputs.json|log.jsonl|seed-1.json", line)[0] for line in missing] == [
        "run.json",
        "inputs.json",
        "log.jsonl",
        "seed-1.json",
    ]


def test_a_run_that_has_logged_nothing_has_a_page(run, capsys):
    (run / "log.jsonl").unlink()
    (missing,) = page_of(run, capsys)[2]
    assert missing == "Losses, schedules and throughput: the run has logged nothing yet."


@pytest.fixture
def moved(world, done, tmp_path):
    """A run whose inputs are in another folder, to be moved away or changed."""
    folder = shutil.copytree(world, tmp_path / "world", ignore=shutil.ignore_patterns("cache", "checkpoint-*"))
    run = folder / "run"
    for path in (run / "config.yaml", run / "inputs.json", folder / "anchors" / "anchors.json"):
        path.write_text(path.read_text().replace(str(world), str(folder)))
    return run


def test_text_that_moved_away_is_said(moved, capsys):
    (moved.parent / "papers.txt").unlink()
    text, shown, missing = page_of(moved, capsys)
    assert "TF-ICF" not in "".join(missing)
    assert missing[-1] == f"Heat maps and bands: {moved.parent / 'papers.txt'} does not exist; check the path."
    assert 'id="masked"' not in text and 'id="anchors"' in text


def test_text_that_changed_is_said(moved, capsys):
    with (moved.parent / "papers.txt").open("a") as file:
        file.write("The rat was found in the cell.\n")
    text, _, missing = page_of(moved, capsys)
    assert "The text that the run read: it has changed since then" in missing[-1]
    assert 'id="masked"' in text


def test_anchors_that_moved_away_are_named_all_the_same(moved, capsys):
    names = json.loads((moved / "inputs.json").read_text())["anchors"]["anchors"]
    shutil.rmtree(moved.parent / "anchors")
    text, shown, missing = page_of(moved, capsys)
    assert missing[0].startswith("TF-ICF of the anchors: ")
    assert "Heat maps and bands: they need the anchors that the run used." in missing
    chips = re.findall(r'<ul class="chips">(.*?)</ul>', text)[0]
    assert re.findall(r"<li>([^<]+)</li>", chips) == names


def test_anchors_that_were_made_again_are_not_those_of_the_run(moved, capsys):
    record = moved.parent / "anchors" / "anchors.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"reduce": "max"}))
    missing = page_of(moved, capsys)[2]
    assert f"TF-ICF of the anchors: {moved.parent / 'anchors'} was made again since the run." in missing


def test_the_tokenizer_is_found_with_the_model_of_the_run(moved, capsys):
    shutil.rmtree(moved.parent / "<script>alert(1)<")
    assert 'id="masked"' in page_of(moved, capsys)[0]


def test_random_masking_without_anchors(world, capsys):
    run = pretrain(world, "plain", anchors=None, policy="whole-word")
    text, shown, missing = page_of(run, capsys)
    assert [line.split(":")[0] for line in missing] == ["Anchors", "Evaluation"]
    assert 'id="masked"' in text and 'id="anchors"' not in text
    assert "domain words" not in shown.split("Settings that differ")[0]


def test_what_never_changes_is_shown_beside_random_masking(world, capsys):
    run = pretrain(world, "same")
    text, _, _ = page_of(run, capsys)
    assert set(re.findall(r'<p class="policy">([^<]+)</p><p class="text">', text)) == {"whole-word", "difference"}


def test_weights_of_classes_are_shown_and_the_masks_follow_them(world, capsys):
    run = pretrain(world, "classes", policy="loss-weighted", classes="shape", momentum=0.5)
    entries = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    for entry in entries:  # from the third step on, punctuation is by far the hardest
        if "class_loss/punctuation" in entry:
            entry["class_loss/punctuation"] = 50.0 if entry["step"] >= 3 else 0.0
    (run / "log.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    text, _, missing = page_of(run, capsys)
    assert [line.split(":")[0] for line in missing] == ["Evaluation"]
    steps = re.findall(r'<th scope="col" class="top[^"]*"><span>([\d,]+)</span>', text)
    assert steps == ["1", "2", "3", "4", "5", "6"]
    shares, weights = re.findall(r'<th scope="row">punctuation</th>(.*?)</tr>', text)
    in_text, start, middle, end = (float(each) for each in re.findall(r"([\d.]+) %", shares))
    assert start == pytest.approx(in_text, abs=3)  # nothing is learned before the first step
    assert middle > start + 3 and end == pytest.approx(middle, abs=2)
    weight = [int(each) for each in re.findall(r">(\d+)</td>", weights)]
    assert max(weight[:2]) < 50 < min(weight[2:])

    settings = (run / "config.yaml").read_text().replace("classes: shape", "classes: file:classes.tsv")
    (run / "config.yaml").write_text(settings)
    _, _, missing = page_of(run, capsys)  # the classes moved away
    assert [line.split(":")[0] for line in missing] == ["Heat maps and bands", "Classes of words", "Evaluation"]


def test_held_out_sentences_are_those_that_the_run_held_out(world, done):
    config = read_config(done / "config.yaml")
    tokenizer = tiny_tokenizer()
    settings = tokenise_settings(config, resolve(config))
    _, held = read_rows(config, settings, tokenizer, None)
    documents, note = held_out_documents(config, tokenizer)
    assert sorted(len(tokenizer(each.text)["input_ids"]) for each in documents) == sorted(row_lengths(held))
    assert {tuple(tokenizer(each.text)["input_ids"]) for each in documents} == {tuple(row["input_ids"]) for row in held}
    assert "held out of the training" in note
