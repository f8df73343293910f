import pytest
import transformers
from support.tiny_video import SIZE

from diffmask.bench import video_text
from diffmask.cli import main


def test_the_step_is_held_against_the_sum_of_its_parts(monkeypatch, capsys):
    config = transformers.VideoMAEConfig(**(SIZE | {"num_frames": 8}))
    *parts, both, every, masking = rows = video_text.run(config, batch_size=2, rounds=1)
    assert all(row["milliseconds"] > 0 for row in rows)
    total = sum(row["milliseconds"] for row in parts)
    assert sum(row["of_the_sum_of_parts"] for row in parts) == pytest.approx(1.0)
    assert [row["of_the_sum_of_parts"] for row in (both, every)] == pytest.approx(
        [row["milliseconds"] / total for row in (both, every)]
    )
    assert masking["of_the_sum_of_parts"] == pytest.approx(masking["milliseconds"] / both["milliseconds"])
    monkeypatch.setattr(video_text, "run", lambda *given: rows)
    assert main(["bench", "video-text", "--batch-size", "2"]) == 0
    assert "fusion" in capsys.readouterr().out
