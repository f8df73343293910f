"""No output replaces what the command reads, or a file of another kind; what cannot be written is told before."""

import errno
import os
import subprocess
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from diffmask.cli import main
from diffmask.core.errors import InputError
from diffmask.evaluate.seed_file import check_results_folder
from diffmask.files.cache import make_cache_folder
from diffmask.files.folders import check_folder, check_output, draft, refuse_input
from diffmask.report.figures.figures import is_foreign as is_foreign_figure
from diffmask.report.html.page import is_foreign, page, write_page
from diffmask.text.corpus.counts import Counts, count_corpus
from diffmask.train.folder import RunFolder

TEXT = "A cell divides into two cells.\n"


def refusal(capsys, *words):
    capsys.readouterr()  # what commands before it said
    assert main(list(map(str, words))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("diffmask: ")


def table(output, columns):
    parquet.write_table(pyarrow.table(columns), output)
    return output.read_bytes()


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "a.txt").write_text(TEXT)
    table(folder / "b.parquet", {"text": [TEXT]})
    return folder


@pytest.mark.parametrize(
    "named", ["papers/a.txt", "papers", "papers/*.txt", "link.txt", "hard.txt", "papers/../papers"]
)
def test_an_output_that_is_read_is_refused_by_whatever_name_it_is_read(corpus, named):
    place = corpus.parent
    (place / "link.txt").symlink_to(corpus / "a.txt")
    (place / "hard.txt").hardlink_to(corpus / "a.txt")
    with pytest.raises(InputError, match=r"the output .*a.txt would replace what the command reads \(.*; give another"):
        refuse_input(corpus / "a.txt", [str(place / "elsewhere"), None, place / named])
    refuse_input(corpus / "new.txt", [place / named])
    refuse_input(place / "elsewhere.txt", [place / named])


def test_a_link_to_what_is_read_is_refused(corpus):
    link = corpus.parent / "out.txt"
    link.symlink_to(corpus / "a.txt")
    with pytest.raises(InputError, match="would replace what the command reads"):
        check_output(link, "page", "preview.html", overwrite=True, reads=[corpus])


def test_a_page_in_the_folder_that_is_read_can_be_made_again(corpus):
    write_page(page("title", ["<p>text</p>"]), corpus / "preview.html")
    check_output(corpus / "preview.html", "page", "p.html", overwrite=True, reads=[corpus], is_foreign=is_foreign)


def test_a_folder_that_holds_what_is_read_is_not_replaced(corpus):
    with pytest.raises(InputError, match="would replace what the command reads"):
        check_folder(corpus, "anchors", ("a.txt", "b.parquet"), overwrite=True, reads=[corpus / "a.txt"])
    (corpus / "anchors").mkdir()
    (corpus / "anchors" / "anchors.csv").write_text("anchor\ncell\n")
    check_folder(corpus / "anchors", "anchors", ("anchors.csv",), overwrite=True, reads=[corpus])


@pytest.mark.parametrize("output", ["papers/a.txt", "papers/b.parquet", "notes.html", "settings.yaml"])
def test_preview_keeps_what_is_there(corpus, output, capsys):
    place = corpus.parent
    (place / "notes.html").write_text("<html><body>a month's notes</body></html>")
    (place / "settings.yaml").write_text("mine: 1\n")
    before = (place / output).read_bytes()
    said = refusal(capsys, "preview", corpus, "--model", "no", "-o", place / output, "--overwrite")
    assert "would replace what the command reads" in said or "is no page of diffmask" in said
    assert (place / output).read_bytes() == before


def test_counts_replace_counts_and_nothing_else(corpus, capsys):
    place = corpus.parent
    output = place / "counts.parquet"
    for content in ({"text": [TEXT]}, {"path": ["a.mp4"], "label": ["run"]}):
        before = table(output, content)
        expected = (
            f"the output {output} exists and is no file of counts of diffmask, so --overwrite does not replace it"
        )
        assert refusal(capsys, "count", corpus, "-o", output, "--overwrite").startswith(expected)
        assert output.read_bytes() == before
    for content in (b"", b"PAR1 cut off"):
        output.write_bytes(content)
        assert main(["count", str(corpus), "-o", str(output), "--overwrite"]) == 0
    assert main(["count", str(corpus), "-o", str(output), "--overwrite"]) == 0
    # counts among the texts would be counted themselves
    count_corpus(corpus / "a.txt").save(corpus / "counts.parquet")
    said = refusal(capsys, "count", corpus, "-o", corpus / "counts.parquet", "--overwrite")
    assert "would replace what the command reads" in said
    assert Counts.load(corpus / "counts.parquet").num_words == 6


def test_counts_of_ngrams_do_not_replace_what_they_are_made_from(corpus, capsys):
    place = corpus.parent
    save = ["--save-counts", place / "ngrams.parquet", "--min-count", 1, "--min-pmi", 0]
    assert main(list(map(str, ["pmi", corpus / "a.txt", "-o", place / "pmi", *save]))) == 0
    before = (place / "ngrams.parquet").read_bytes()
    counted = ["--counts", place / "ngrams.parquet", "--max-n", 2, "--overwrite"]
    said = refusal(capsys, "pmi", *counted, "-o", place / "pmi", *save)
    assert said.endswith(f"({place}/ngrams.parquet); give another name with --save-counts")
    assert (place / "ngrams.parquet").read_bytes() == before
    before = (corpus / "b.parquet").read_bytes()
    said = refusal(capsys, "pmi", corpus, "-o", place / "new", "--save-counts", corpus / "b.parquet", "--overwrite")
    assert "would replace what the command reads" in said and (corpus / "b.parquet").read_bytes() == before


def test_an_index_does_not_replace_another_table(corpus, capsys):
    before = (corpus / "b.parquet").read_bytes()
    for more in ([], ["--overwrite"]):
        said = refusal(capsys, "index", corpus, "-o", corpus / "b.parquet", *more)
        assert said.startswith(f"the output {corpus}/b.parquet exists and is no clip index of diffmask")
        assert (corpus / "b.parquet").read_bytes() == before


def test_a_report_does_not_replace_the_settings_of_its_run(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("model: minilm\n")
    said = refusal(capsys, "report", tmp_path, "-o", tmp_path / "config.yaml", "--overwrite")
    assert "is no page of diffmask" in said
    assert (tmp_path / "config.yaml").read_text() == "model: minilm\n"


def test_a_figure_does_not_replace_a_document(tmp_path):
    from matplotlib.figure import Figure

    paper, ours = tmp_path / "paper.pdf", tmp_path / "ours.pdf"
    paper.write_bytes(b"%PDF-1.7 a thesis")
    Figure().savefig(ours)
    assert is_foreign_figure(paper) and not is_foreign_figure(ours)


def test_what_is_no_file_is_no_output(tmp_path):
    for path in (Path("/dev/null"), tmp_path / "pipe"):
        if not path.exists():
            os.mkfifo(path)
        with pytest.raises(InputError, match="is a device or a pipe, not a file; give another name with -o"):
            check_output(path, "page", "preview.html", overwrite=True)


def test_a_name_that_is_too_long_is_told_before_the_work(tmp_path):
    for check in (lambda path: check_output(path, "page", "p.html", overwrite=False),
                  lambda path: check_folder(path, "anchors", (), overwrite=False)):  # fmt: skip
        with pytest.raises(InputError, match=r"cannot be written \(File name too long\); give another name"):
            check(tmp_path / ("a" * 250 + ".html"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_told_before_the_work(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
        check_output(tmp_path / "a.html", "page", "p.html", overwrite=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_a_folder_that_is_mounted_read_only_is_told_before_the_work(tmp_path, capsys, corpus):
    place = tmp_path / "place"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "none", place], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        for words in (
            ["count", corpus, "-o", place / "c.parquet"],
            ["preview", corpus, "-o", place / "p.html"],
            ["bench", "policies", "--json", place / "b.json"],
        ):
            assert "Read-only file system" in refusal(capsys, *words)
        with pytest.raises(InputError, match="results.*cannot be written .Read-only file system"):
            check_results_folder(place / "results")
        run = RunFolder(place / "run", {}).held(is_main=True, resume=False, overwrite=False)
        with pytest.raises(InputError, match="the folder .*run cannot be written .Read-only file system.; set output="):
            run.__enter__()
        with pytest.raises(InputError, match="the cache folder .*cache may not be written; name another one"):
            make_cache_folder(place / "cache")
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_place_that_may_not_be_written_is_one_sentence(tmp_path, number):
    said = r"/a cannot be written \(.*\); give another name, or one in another folder"
    with pytest.raises(InputError, match=said), draft(tmp_path / "a") as new:
        raise OSError(number, os.strerror(number), str(new))
    with pytest.raises(OSError, match="other"), draft(tmp_path / "a"):
        raise OSError(number, os.strerror(number), "/other/input.txt")


def test_a_folder_in_the_place_of_a_file_is_never_deleted(tmp_path):
    (tmp_path / "out" / "anchors.csv").mkdir(parents=True)
    (tmp_path / "out" / "anchors.csv" / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"holds other files \(anchors.csv\); choose another name"):
        check_folder(tmp_path / "out", "anchors", ("anchors.csv",), overwrite=True)


def test_what_a_killed_process_left_does_not_keep_a_folder_from_being_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".anchors.csv.host-12-0123456789abcdef.partial").touch()
    assert check_folder(tmp_path / "out", "anchors", ("anchors.csv",), overwrite=True) == tmp_path / "out"


def test_results_replace_results_and_nothing_else(tmp_path):
    for name, content in {"seed-3.json": '{"mine": 1}', "seed-4.json": "5"}.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(InputError, match=f"{name} is no file of diffmask, and results would replace it"):
            check_results_folder(tmp_path)
        (tmp_path / name).write_text('{"format": 1}')
    (tmp_path / "seed-5.json").write_text('{"format": ')
    check_results_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="/file/results/seed-0.json|/file/results cannot be written"):
        check_results_folder(tmp_path / "file" / "results")
