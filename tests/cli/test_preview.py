import pytest
from domain import SENTENCES
from html_checks import check
from tiny import tiny_model, tiny_tokenizer

from diffmask.cli import main
from diffmask.text.anchors import AnchorSettings, build_anchors


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("preview")
    for name, width in (("model", 32), ("other", 48)):
        tiny_model(hidden_size=width).save_pretrained(folder / name)
        tokenizer = tiny_tokenizer()
        tokenizer.model_max_length = 512
        tokenizer.save_pretrained(folder / name)
    (folder / "papers.txt").write_text("\n".join(SENTENCES * 4 + ["<script>kinase</script>"]) + "\n")
    settings = AnchorSettings(
        data=[str(folder / "papers.txt")], model=str(folder / "model"), num_anchors=2, min_count=2
    )
    build_anchors(settings).save(folder / "anchors")
    return folder


@pytest.fixture(autouse=True)
def _few_draws(monkeypatch):
    monkeypatch.setattr("diffmask.report.preview.NUM_DRAWS", 40)


def preview(world, *more):
    return main(["preview", str(world / "papers.txt"), "--anchors", str(world / "anchors"), *map(str, more)])


def test_random_masking_is_always_shown_beside(world, capsys):
    assert preview(world) == 0
    out = capsys.readouterr().out
    assert "\nwhole-word  " in out and "\ndifference  " in out
    assert "mask ratio reached" in out and "\x1b" not in out


def test_a_page_is_written(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert preview(world, "-o", page, "--num-sentences", 2, "--units", "token", "--weighting", "rank") == 0
    assert f"wrote {page}" in capsys.readouterr().out
    checker = check(page.read_text())
    assert "difference" in checker.text and "random-token" in checker.text
    assert "rank" in checker.text and "token" in checker.text
    assert len([name for name in tmp_path.iterdir()]) == 1


def test_the_same_command_writes_the_same_page(world, tmp_path):
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for page in pages:
        assert preview(world, "-o", page, "--policy", "difference", "--policy", "random-span", "--seed", 3) == 0
    assert pages[0].read_bytes() == pages[1].read_bytes()


def test_strength_zero_is_random_masking(world, tmp_path, capsys):
    assert preview(world, "--strength", 0) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("domain words")]
    assert rows and rows[0][-2] == rows[0][-4]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--policy", "diference"], "unknown policy 'diference'; choose from: attention, difference, domain-frequency"),
        (["--ratio", "1.5"], "`masking.ratio` has the value 1.5, which is outside [0, 1]; 0.15 means 15 %"),
        (["--strength", "-1"], "`masking.strength` has the value -1, which is outside [0, 1]; 0.15 means 15 %"),
        (["--weighting", "soft"], "unknown weighting 'soft'; choose from: linear, rank, softmax"),
        (["--units", "sentence"], "unknown units 'sentence'; choose from: pmi, salient, span, token, word"),
        (["--num-sentences", "0"], "--num-sentences 0 is below 1; give at least one"),
        (["--column", "body"], "column 'body' was given, but plain text has no columns"),
    ],
)
def test_bad_input_is_one_sentence(world, capsys, more, message):
    assert preview(world, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"diffmask: {message}") and error.count("\n") == 1


def test_anchors_of_another_model_are_refused(world, capsys):
    assert preview(world, "--model", world / "other") == 2
    assert "the anchors were made for" in capsys.readouterr().err


def test_a_page_that_exists_is_kept_unless_told_otherwise(world, tmp_path, capsys):
    page = tmp_path / "page.html"
    page.write_text("mine")
    assert preview(world, "-o", page) == 2
    assert "exists; use --overwrite to replace it" in capsys.readouterr().err
    assert page.read_text() == "mine"
    assert preview(world, "-o", page, "--overwrite") == 0
    assert page.read_text().startswith("<!doctype html>")


def test_a_missing_corpus_and_missing_anchors_are_said(world, tmp_path, capsys):
    assert main(["preview", str(tmp_path / "no.txt"), "--anchors", str(world / "anchors")]) == 2
    assert "no.txt does not exist; check the path" in capsys.readouterr().err
    assert main(["preview", str(world / "papers.txt"), "--anchors", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
