"""Files of subtitles as people have them: what is broken is counted, and nothing that can be read is lost."""

import pytest

from diffmask.core.errors import InputError
from diffmask.video_text.data.subtitles import Cue, read_subtitles, segments

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> {\\an8}there,
world.

2
00:00:03,000 --> 00:00:04,000
42
"""
VTT = """WEBVTT - some title
Kind: captions

STYLE
::cue { color: red }

NOTE a comment
of two lines

intro
00:01.000 --> 00:02.500 align:start position:0%
<v Roger Bingham>Hello <c.yellow>there</c>,
world.

NOTE another

00:00:03.000 --> 00:00:04.000
42 &lt; 43 &amp; a < b
"""
EXPECTED = [Cue(1.0, 2.5, "Hello there, world."), Cue(3.0, 4.0, "42")]


def read(tmp_path, content, name="a.srt"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_subtitles(path)


@pytest.mark.parametrize(
    "content",
    [
        SRT,
        SRT.replace("\n", "\r\n"),
        SRT.replace("\n", "\r"),
        "\ufeff" + SRT,
        "\ufeff".encode("utf-16-le") + SRT.encode("utf-16-le"),
        SRT.replace("\n\n", "\n\n\n\n"),
        SRT.replace("there,\n", "there,\n\n"),  # a blank line within a cue
        SRT.replace("\n\n", "\n"),  # none between cues
    ],
)
def test_subrip(tmp_path, content):
    cues, faults = read(tmp_path, content)
    assert cues == EXPECTED
    assert not faults.counts


def test_webvtt(tmp_path):
    cues, faults = read(tmp_path, VTT, "a.vtt")
    assert cues == [EXPECTED[0], Cue(3.0, 4.0, "42 < 43 & a < b")]
    assert not faults.counts
    assert read(tmp_path, VTT, "a.srt")[0] == cues  # told by its first line too


@pytest.mark.parametrize(
    ("old", "new", "fault", "cues"),
    [
        ("2\n00", "00", "1 cues without a number (line 6)", EXPECTED),
        ("3,000", "3.000", "1 times with another decimal point than the format's (line 7)", EXPECTED),
        ("00:00:03,000", "00:03,000", "1 times without hours (line 7)", EXPECTED),
        ("3,000 --> 00:00:04,000", "4,000 --> 00:00:03,000", "1 cues that end before they begin (their times are "
         "exchanged) (line 7)", EXPECTED),
        ("00:00:03,000", "soon", "1 cues whose times cannot be read are left out (line 7)", EXPECTED[:1]),
        ("\n42\n", "\n<b></b>\n", "1 cues without text are left out (line 7)", EXPECTED[:1]),
        ("02,500", "03,500", "1 cues that begin before the one before ends (at 3 s)",
         [Cue(1.0, 3.5, EXPECTED[0].text), EXPECTED[1]]),
        ("00:00:03,000 --> 00:00:04,000", "00:00:00,100 --> 00:00:00,900",
         "1 cues that begin before the one before begins (put in order) (at 0.1 s)",
         [Cue(0.1, 0.9, "42"), EXPECTED[0]]),
    ],
)  # fmt: skip
def test_what_is_broken_is_counted_and_named(tmp_path, old, new, fault, cues):
    assert old in SRT
    found, faults = read(tmp_path, SRT.replace(old, new))
    assert found == cues
    assert list(faults.lines()) == [fault]


def test_other_encodings_are_read(tmp_path):
    cues, faults = read(tmp_path, SRT.replace("world", "café").encode("cp1252"))
    assert cues[0].text == "Hello there, café."
    assert list(faults.lines()) == ["1 files that are not UTF-8 (read as Windows-1252) (a.srt)"]


def test_captions_that_scroll_say_each_line_once(tmp_path):
    lines = [
        "WEBVTT\n",
        "00:00:00.000 --> 00:00:02.000\nhello<00:00:00.500><c> world</c>\n",
        "00:00:02.000 --> 00:00:02.010\nhello world\n",
        "00:00:02.010 --> 00:00:04.000\nhello world\nhow are you\n",
        "00:00:09.000 --> 00:00:10.000\nhow are you\n",
    ]
    cues, faults = read(tmp_path, "\n".join(lines), "a.vtt")
    assert [cue.text for cue in cues] == ["hello world", "how are you", "how are you"]
    assert faults.counts == {"cues that only repeat the line before are left out": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no line holds two times with --> between them"),
        ("1\nHello\n", "no line holds two times with --> between them"),
        ("1\n00:00 -> 00:01\nHello\n", "no line holds two times with --> between them"),
        ("1\nxx --> yy\nHello\n", "1 cues whose times cannot be read are left out (line 2)"),
    ],
)
def test_a_file_without_a_cue_is_refused(tmp_path, content, why):
    with pytest.raises(InputError) as error:
        read(tmp_path, content)
    path = tmp_path / "a.srt"
    assert str(error.value) == (f"{path} has no subtitle that can be read ({why}); give SubRip (.srt) or WebVTT (.vtt)")
    with pytest.raises(InputError, match="b.srt does not exist; check the path"):
        read_subtitles(tmp_path / "b.srt")


def slow_segments(cues, duration, num_parts):
    """Return what is said in each part, looking at a thousand moments of each."""
    found = []
    for part in range(num_parts):
        moments = [duration * (part + (moment + 0.5) / 1000) / num_parts for moment in range(1000)]
        said = [cue.text for cue in cues if any(cue.start <= moment < cue.end for moment in moments)]
        found += [(part, " ".join(said))] if said else []
    return found


def test_segments_hold_all_that_is_said_in_them():
    cues = [Cue(0.5, 2.0, "a"), Cue(7.0, 9.0, "b"), Cue(9.5, 15.9, "c"), Cue(25.0, 29.0, "d"), Cue(30.0, 34.0, "late")]
    for duration, seconds, num_parts in ((24.0, 8.0, 3), (30.0, 8.0, 4), (3.0, 8.0, 1), (30.0, 7.0, 4)):
        found = list(segments(cues, duration, seconds))
        assert [(round(span[0] * num_parts / duration), text) for span, text in found] == slow_segments(
            cues, duration, num_parts
        )
        assert all(span[1] - span[0] == pytest.approx(duration / num_parts) for span, _ in found)


def test_a_cue_without_duration_is_said_once():
    assert [text for _, text in segments([Cue(8.0, 8.0, "now")], 16.0, 8.0)] == ["now"]
