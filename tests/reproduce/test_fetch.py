"""The data sets here are small ones in the place of the public ones; the server is a real one."""

import contextlib
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from diffmask.reproduce import fetch
from diffmask.reproduce.fetch import COMMIT, DATA_SETS, SPLITS, _DataSet, _SourceFile

REPO = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("DIFFMASK_TEST_DATA", REPO.parent / "shared" / "data")) / "text"


def lines(split, number, *, copied=0):
    texts = [f"{split} text {row} \u2028 with \u00e9" for row in range(number)]
    texts[:copied] = [f"train text {row} \u2028 with \u00e9" for row in range(copied)]
    rows = ({"text": text, "label": "ab"[row % 2], "metadata": {}} for row, text in enumerate(texts))
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


CONTENTS = {"train": lines("train", 6000), "dev": lines("dev", 20, copied=3), "test": lines("test", 30, copied=5)}


def small_sets():
    known = {
        split: _SourceFile(len(content), content.count(b"\n"), hashlib.sha256(content).hexdigest())
        for split, content in CONTENTS.items()
    }
    unknown = {
        split: replace(file, sha256=None, num_in_train={"dev": 3, "test": 5}.get(split))
        for split, file in known.items()
    }
    return {
        "hashed": _DataSet("Hashed: a task", "folder-of-hashed", 2, known, "A 2020"),
        "counted": _DataSet("Counted: a task", "folder-of-counted", 2, unknown, "B 2021"),
    }


@pytest.fixture(autouse=True)
def sets(monkeypatch, tmp_path):
    found = small_sets()
    monkeypatch.setattr(fetch, "DATA_SETS", found)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DIFFMASK_DATA", raising=False)
    return found


class Server(http.server.ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.breaks_after, self.knows_ranges, self.contents = [], {}, True, dict(CONTENTS)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        asked = self.headers.get("Range")
        self.server.requests.append((self.path, asked))
        content = self.server.contents.get(Path(self.path).stem)
        if content is None:
            self.send_error(404)
            return
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and self.server.knows_ranges else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        # a connection that breaks: fewer bytes than were promised
        self.wfile.write(content[start : self.server.breaks_after.pop(self.path, None)])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with Server() as one:
        thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield one
        one.shutdown()
        thread.join()


def put(folder, suffix=".txt", contents=CONTENTS):
    folder.mkdir(parents=True)
    for split, content in contents.items():
        (folder / f"{split}{suffix}").write_bytes(content)
    return folder


def assert_prepared(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["dev.jsonl", "test.jsonl", "train.jsonl"]
    for split, content in CONTENTS.items():
        wanted = [json.loads(line) for line in content.split(b"\n") if line]
        written = (folder / f"{split}.jsonl").read_bytes().split(b"\n")[:-1]
        assert [json.loads(line) for line in written] == [
            {key: row[key] for key in ("text", "label")} for row in wanted
        ]


def test_nothing_is_fetched_unasked(tmp_path, capsys):
    assert fetch.main([]) == 2
    assert list(tmp_path.iterdir()) == []
    said = capsys.readouterr().err
    assert "Nothing is downloaded without being asked for" in said
    assert "hashed: Hashed: a task (A 2020), 6,000/20/30 texts, 0.4 MB" in said
    assert f"{COMMIT}/data/text_classification/folder-of-counted/{{train,dev,test}}.txt" in said
    assert "--download" in said
    assert "--from FOLDER" in said


@pytest.mark.parametrize("inside", ["hashed", "folder-of-hashed", "data/text_classification/folder-of-hashed", "."])
@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_a_folder_of_files_is_prepared(inside, suffix, tmp_path, capsys):
    put(tmp_path / "have" / inside, suffix)
    assert fetch.main(["hashed", "--from", "have"]) == 0
    assert_prepared(tmp_path / "data" / "hashed")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["hashed"]
    assert capsys.readouterr().out == "wrote data/hashed: 6,000 train, 20 dev, 30 test\n"


def test_the_data_folder_is_an_option_or_a_variable(tmp_path, monkeypatch, capsys):
    put(tmp_path / "have")
    assert fetch.main(["counted", "--from", "have", "--data", "deep/er"]) == 0
    assert_prepared(tmp_path / "deep" / "er" / "counted")
    monkeypatch.setenv("DIFFMASK_DATA", str(tmp_path / "volume"))
    for said in ("wrote ", "is there already"):
        assert fetch.main(["counted", "--from", "have"]) == 0
        assert said in capsys.readouterr().out
    assert_prepared(tmp_path / "volume" / "counted")


def test_all_are_downloaded(server, tmp_path, capsys):
    assert fetch.main(["--download", "--url", server.url]) == 0
    for name in ("hashed", "counted"):
        assert_prepared(tmp_path / "data" / name)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["counted", "hashed"]
    assert server.requests[0] == ("/folder-of-hashed/train.txt", None)
    assert "hashed/train.txt: 0.4 MB" in capsys.readouterr().err


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("name", ["hashed", "counted"])
def test_a_download_goes_on_where_it_stopped(name, knows_ranges, server, tmp_path, capsys):
    train, dev = f"/folder-of-{name}/train.txt", f"/folder-of-{name}/dev.txt"
    server.knows_ranges, server.breaks_after = knows_ranges, {train: 100_000, dev: 5}
    for broken in (train, dev):
        assert fetch.main([name, "--download", "--url", server.url]) == 2
        said = capsys.readouterr().err
        assert f"cannot fetch {server.url}{broken} (" in said
        assert "give the same command again to continue where it stopped" in said
        assert not (tmp_path / "data" / name).exists()
    assert fetch.main([name, "--download", "--url", server.url]) == 0
    assert_prepared(tmp_path / "data" / name)
    test = f"/folder-of-{name}/test.txt"
    wanted = [(train, None), (train, "bytes=100000-"), (dev, None), (dev, "bytes=5-"), (test, None)]
    assert server.requests == wanted, "what is there is not fetched again"


def test_a_file_that_is_not_there_is_said_in_one_sentence(server, capsys):
    del server.contents["dev"]
    assert fetch.main(["hashed", "--download", "--url", server.url]) == 2
    assert "dev.txt (HTTP Error 404: Not Found); give the same command again" in capsys.readouterr().err


def test_a_server_that_is_not_there_is_said_in_one_sentence(capsys):
    assert fetch.main(["hashed", "--download", "--url", "http://127.0.0.1:9"]) == 2
    assert "cannot fetch http://127.0.0.1:9/folder-of-hashed/train.txt (" in capsys.readouterr().err


def test_a_wrong_download_is_refused_and_not_kept(server, tmp_path, capsys):
    server.contents["train"] = CONTENTS["train"].replace(b"text 7 ", b"text 8 ")
    assert fetch.main(["hashed", "--download", "--url", server.url]) == 2
    assert "train.txt.part is not the published file: its sha256 is " in capsys.readouterr().err
    server.contents["train"], server.contents["dev"] = CONTENTS["train"], lines("dev", 20, copied=2)
    assert fetch.main(["counted", "--download", "--url", server.url]) == 2
    assert (
        "these are not the files of counted: 2 dev texts that also occur in train, and not 3; get them again"
        in capsys.readouterr().err
    )
    assert not (tmp_path / "data" / "hashed").exists()
    server.contents = dict(CONTENTS)
    assert fetch.main(["--download", "--url", server.url]) == 0
    assert_prepared(tmp_path / "data" / "counted")


def wrong(split, content):
    return CONTENTS | {split: content}


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("hashed", wrong("test", CONTENTS["test"] + b"\n"), "test.txt is not the published file: its sha256 is "),
        ("hashed", wrong("dev", b""), "(0 of 1,316 bytes); nothing was written"),
        ("counted", wrong("test", lines("test", 31, copied=5)), "31 test texts, and not 30; get them again"),
        ("counted", wrong("test", lines("test", 30)), "0 test texts that also occur in train, and not 5"),
        ("counted", wrong("dev", CONTENTS["dev"].replace(b'"a"', b'"c"')), "3 labels, and not 2"),
        (
            "counted",
            wrong("dev", b'{"text": "no label"}'),
            'dev.txt: line 1 is not {"text": ..., "label": ...} in JSON',
        ),
        ("counted", wrong("dev", b"<html>"), "dev.txt: line 1 is not"),
    ],
)
def test_files_that_are_not_the_right_ones_are_refused(name, contents, message, tmp_path, capsys):
    put(tmp_path / "have", contents=contents)
    assert fetch.main([name, "--from", "have"]) == 2
    assert message in capsys.readouterr().err
    assert list((tmp_path / "data").iterdir()) == []


def test_other_bad_input_is_said_in_one_sentence(tmp_path, capsys):
    assert fetch.main(["chemport", "--download"]) == 2
    assert "unknown data set 'chemport'; choose from: hashed, counted" in capsys.readouterr().err
    assert fetch.main(["hashed", "--from", "nowhere"]) == 2
    assert "nowhere holds no files of hashed; give a folder with train, dev and test" in capsys.readouterr().err
    put(tmp_path / "have")
    (tmp_path / "data" / "hashed").mkdir(parents=True, exist_ok=True)
    assert fetch.main(["hashed", "--from", "have"]) == 2
    assert "data/hashed exists and is not hashed as this command writes it (" in capsys.readouterr().err


def test_a_folder_that_may_not_be_written_is_said_in_one_sentence(tmp_path, capsys, monkeypatch):
    def refuse(*arguments, **settings):
        raise PermissionError(13, "Permission denied", "data/.x")

    put(tmp_path / "have")
    monkeypatch.setattr(fetch, "draft", refuse)
    assert fetch.main(["hashed", "--from", "have"]) == 2
    assert "data/.x may not be read or written by this user; change its owner, or give" in capsys.readouterr().err


def test_the_tool_runs_on_python_alone(tmp_path):
    # -S: none of the installed packages can be found
    command = [sys.executable, "-S", REPO / "tools" / "fetch_data"]
    done = subprocess.run([*command], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "acl-arc: ACL-ARC: intents of citations" in done.stderr
    assert os.access(REPO / "tools" / "fetch_data", os.X_OK)


@pytest.mark.parametrize("name", DATA_SETS)
def test_what_is_known_of_each_data_set_is_whole(name):
    data_set = DATA_SETS[name]
    assert tuple(data_set.files) == SPLITS
    held_out = [file for split, file in data_set.files.items() if split != "train"]
    assert all(file.sha256 or file.num_in_train for file in held_out)
    assert all(len(file.sha256) == 64 for file in data_set.files.values() if file.sha256)


@pytest.mark.skipif(not DATA.exists(), reason="needs the data for measuring")
@pytest.mark.parametrize("name", ["chemprot", "sciie"])
def test_the_real_files_are_the_published_ones(name, tmp_path, monkeypatch):
    monkeypatch.setattr(fetch, "DATA_SETS", DATA_SETS)
    assert fetch.main([name, "--from", str(DATA)]) == 0
    rows = (tmp_path / "data" / name / "test.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert len(rows) == DATA_SETS[name].files["test"].num_rows
    assert json.loads(rows[0]).keys() == {"text", "label"}


@pytest.mark.parametrize(
    "url",
    ["file:///etc", "ftp://example.org", "http://example.org", "data:,x", "https://", "example.org", "https://[x"],
)
def test_only_https_is_fetched(url, capsys):
    assert fetch.main(["hashed", "--download", "--url", url]) == 2
    assert capsys.readouterr().err.startswith(f"fetch_data: {url} is no https address; give one with --url")


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Sends a client to the address that it is made with, or bytes without end."""

    def do_GET(self):  # noqa: N802
        if self.server.target:
            self.send_response(302)
            self.send_header("Location", self.server.target)
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"x" * (1 << 16))

    def log_message(self, *arguments):
        pass


@pytest.fixture
def elsewhere():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    made.daemon_threads, made.target = True, ""
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "http://example.org/x", "ftp://example.org/x"])
def test_a_server_cannot_lead_elsewhere(target, elsewhere, capsys):
    elsewhere.target = target
    assert fetch.main(["hashed", "--download", "--url", f"http://127.0.0.1:{elsewhere.server_address[1]}"]) == 2
    said = capsys.readouterr().err
    assert f"{target} is no https address" in said or f"Redirection to url '{target}' is not allowed" in said


def test_a_file_without_end_is_not_fetched(elsewhere, capsys, tmp_path):
    assert fetch.main(["hashed", "--download", "--url", f"http://127.0.0.1:{elsewhere.server_address[1]}"]) == 2
    assert "sends more than 1.9 MB, and hashed/train.txt has 0.4 MB; give another address" in capsys.readouterr().err
