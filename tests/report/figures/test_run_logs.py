import io
import random

import numpy as np
import pytest
from rich.console import Console

from diffmask.core.errors import InputError
from diffmask.core.schedule import Constant, Linear
from diffmask.files.folders import check_output
from diffmask.report.figures.figures import COLOURS, FORMATS, line_style
from diffmask.report.figures.run_logs import RunLog, draw_runs, print_runs, smooth, spread
from diffmask.train.log import read_log


def log_of(*keys, num_lines=20, every=5):
    return [{"step": every * line, **{key: 1.0 + line / 10 for key in keys}} for line in range(1, num_lines + 1)]


def run_of(name, *keys, ratio=None, entries=None):
    entries = log_of(*keys) if entries is None else entries
    return RunLog(name, entries, 100, {"mask_ratio": ratio or Constant(0.15), "strength": Constant(1.0)})


@pytest.mark.parametrize("window", [1, 3, 7, 101])
def test_smoothing_is_a_mean_of_neighbours(window):
    values = np.array([random.Random(index).random() for index in range(40)])
    half = window // 2
    slow = [np.mean(values[max(0, index - half) : index + half + 1]) for index in range(40)]
    assert smooth(values, window) == pytest.approx(slow)
    assert len(smooth(np.array([]), window)) == 0


def test_labels_are_spread_but_stay_in_order():
    generator = random.Random(0)
    for _ in range(200):
        wanted = [generator.random() for _ in range(generator.randint(1, 17))]
        gap = generator.uniform(0.0, 0.2)
        places = spread(wanted, gap)
        order = sorted(range(len(wanted)), key=lambda index: wanted[index])
        sorted_places = [places[index] for index in order]
        assert all(b - a >= gap - 1e-9 for a, b in zip(sorted_places, sorted_places[1:], strict=False))
        # moved by no more than needed: the whole stays where it was
        assert sum(places) == pytest.approx(sum(wanted))
        bounded = spread(wanted, gap, 0.0, 1.0)
        if gap * (len(wanted) - 1) <= 1.0:
            assert all(-1e-9 <= place <= 1 + 1e-9 for place in bounded)
            in_order = sorted(bounded)
            assert [bounded[index] for index in order] == in_order
            assert all(b - a >= gap - 1e-9 for a, b in zip(in_order, in_order[1:], strict=False))
    assert spread([0.0, 1.0], 0.1) == [0.0, 1.0]


def test_many_runs_are_told_apart():
    styles = [line_style(place) for place in range(30)]
    assert len({(style["color"], str(style["linestyle"])) for style in styles}) == 30
    assert len(set(COLOURS)) == len(COLOURS) >= 10


def drawn(monkeypatch, runs, path):
    """Return the figure that is written."""
    figures = []
    monkeypatch.setattr("diffmask.report.figures.run_logs.save_figure", lambda figure, path: figures.append(figure))
    draw_runs(runs, path)
    return figures[0]


def titles(figure):
    return [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]


def test_every_value_that_any_run_logged_has_a_panel(monkeypatch, tmp_path):
    runs = [
        run_of("a", "loss", "mask_ratio", "strength"),
        run_of("b", "loss", "eval_loss"),
        run_of("c", "loss", "class_loss/NOUN", "class_loss/VERB"),
    ]
    figure = drawn(monkeypatch, runs, tmp_path / "a.png")
    assert titles(figure) == [
        "training loss, each on its own masks",
        "held-out loss, all words",
        "mask ratio: reached, and planned (dashed)",
        "strength",
        "loss of each class: c",
    ]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    classes = next(axes for axes in figure.axes if axes.get_title(loc="left").endswith("c"))
    assert {text.get_text() for text in classes.texts} == {"NOUN", "VERB"}


def test_a_class_that_was_never_met_is_counted_and_not_drawn(monkeypatch, tmp_path):
    entries = [{"step": step, "class_loss/a": 0.1 * step, "class_loss/b": 0.0} for step in (1, 2)]
    (axes,) = (axes for axes in drawn(monkeypatch, [run_of("r", entries=entries)], tmp_path).axes if axes.get_visible())
    assert axes.get_title(loc="left") == "loss of each class: r (1 never met)"
    assert [text.get_text() for text in axes.texts] == ["a"]


def test_one_run_has_no_legend_and_its_planned_ratio_is_drawn(monkeypatch, tmp_path):
    figure = drawn(monkeypatch, [run_of("a", "loss", "mask_ratio", ratio=Linear(0.3, 0.1))], tmp_path / "a.png")
    assert not figure.legends
    planned = figure.axes[1].get_lines()[-1]
    assert planned.get_xdata()[-1] == 100
    assert planned.get_ydata()[[0, -1]] == pytest.approx([0.3, 0.1])


def test_a_step_that_was_logged_again_counts_once():
    run = run_of("a", entries=[{"step": 2, "loss": 3.0}, {"step": 1, "loss": 4.0}, {"step": 2, "loss": 2.0}])
    steps, values = run.points("loss")
    assert (steps.tolist(), values.tolist()) == ([1.0, 2.0], [4.0, 2.0])


def test_a_figure_of_thirteen_runs_is_a_png(tmp_path):
    draw_runs([run_of(f"run {place}", "loss", "mask_ratio") for place in range(13)], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_table_weighs_log_lines_by_their_steps():
    entries = [{"step": 10, "loss": 2.0, "mask_ratio": 0.3}, {"step": 40, "loss": 1.0, "mask_ratio": 0.1}]
    stream = io.StringIO()
    runs = [run_of("a", entries=entries, ratio=Linear(0.3, 0.1)), run_of("b", entries=[{"step": 5, "loss": 1.5}])]
    print_runs(runs, Console(file=stream, width=100))
    head, first, second = (line.split() for line in stream.getvalue().splitlines())
    planned = sum(0.3 - 0.2 * step / 100 for step in range(40)) / 40
    assert head == ["run", "steps", "loss", "mask", "ratio", "planned"]
    assert first == ["a", "40", "1.000", "15.00", "%", f"{100 * planned:.2f}", "%"]
    assert second == ["b", "5", "1.500", "-", "-"]


def test_a_log_may_end_in_the_middle_of_a_line(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_log(path) == [{"step": 1, "loss": 2.0}]
    path.write_text("")
    assert read_log(path) == []


@pytest.mark.parametrize(
    "text", ['{"step": 1}\n{"st\n{"step": 3}\n', '[1]\n{"step": 2}\n', '{"loss": 2}\n{"step": 1}\n']
)
def test_a_file_that_is_no_log_is_refused(tmp_path, text):
    path = tmp_path / "log.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="line [12], is no log entry .* give the log of a diffmask run"):
        read_log(path)


def test_figures_are_not_overwritten_and_have_a_known_ending(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    cases = {
        tmp_path: "is a folder; give the name of a figure such as .*figure.png",
        tmp_path / "a.png": "exists; use --overwrite to replace it, or give another name with -o",
        tmp_path / "a.jpg": "is no figure; give a name that ends with .png, .svg or .pdf",
        tmp_path / "b" / "a.png": "of the output does not exist; create it first",
    }
    for path, message in cases.items():
        with pytest.raises(InputError, match=message):
            check_output(path, "figure", "figure.png", FORMATS, overwrite=False)
    check_output(tmp_path / "a.png", "figure", "figure.png", FORMATS, overwrite=True)
