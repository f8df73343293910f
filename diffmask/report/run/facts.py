"""The part of a run's page that says what was run: settings, data, anchors' origin, machine and versions."""

from collections.abc import Iterator, Mapping
from typing import Any

from diffmask.report.html.page import escape, facts, folded, paragraph, path_text, prose, table
from diffmask.report.run.data import RunData, Setting

_HASH_SHOWN = 12
_UNITS = [(1e3, "kB"), (1e6, "MB"), (1e9, "GB")]

CLIP_USES = {"clips": "trained on", "held_out": "held out"}
"""Clips that a run read, by what inputs.json calls them."""
USES = {"data": "trained on", "held_out": "held out", "task": "task"}
"""Files that a run read, by what inputs.json calls them."""


def duration(seconds: float) -> str:
    """Return a time as people say it.

    >>> duration(7.26), duration(124), duration(7384)
    ('7.3 s', '2 min 4 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def _size(num_bytes: float) -> str:
    """Return a size as people say it.

    >>> size(812), size(1121208)
    ('812 bytes', '1.1 MB')
    """
    if num_bytes < 1000:
        return f"{num_bytes} bytes"
    power, unit = next((each for each in _UNITS if num_bytes < 1000 * each[0]), _UNITS[-1])
    return f"{num_bytes / power:.1f} {unit}"


def run_parts(run: RunData) -> Iterator[str]:
    """Yield what was run."""
    changed = [each for each in run.settings if each.value != each.default]
    yield "<h3>Settings that differ from the defaults</h3>"
    yield f'<div class="card"><dl class="settings">{"".join(map(_changed, changed))}</dl></div>'
    yield folded(f"All {len(run.settings)} settings", facts((each.name, each.value) for each in run.settings))
    yield from _data(run.inputs)
    yield from _machine(run)


def _changed(setting: Setting) -> str:
    default = "" if setting.default is None else f'<span class="soft">instead of {path_text(setting.default)}</span>'
    return (
        f"<div><dt><code>{escape(setting.name)}</code></dt><dd><b>{path_text(setting.value)}</b>{default}</dd>"
        f'<dd class="soft">{prose(setting.meaning)}</dd></div>'
    )


def _data(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files, with as much of their hashes as tells them apart; the whole hashes are folded away."""
    yield from _clips(inputs)
    # of clips, what was held out is told with them
    groups = {use: found if isinstance(found := inputs.get(key, []), list) else [] for key, use in USES.items()}
    files = [(use, each) for use, group in groups.items() for each in group]
    if not files:
        return
    rows = (
        f'<tr><th scope="row">{path_text(each["path"])}</th><td>{use}</td><td><code>'
        f'{escape(each["sha256"][:_HASH_SHOWN])}</code></td><td class="number">{_size(each["bytes"])}</td></tr>'
        for use, each in files
    )
    yield "<h3>Data</h3>"
    yield table(["file", "use", "sha256", "size"], rows, num_texts=3)
    whole = [(each["path"], each["sha256"]) for _, each in files]
    yield folded("Whole hashes, and what the anchors were made of", facts([*whole, *_anchor_facts(inputs)]))


def _clips(inputs: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many clips there were, with a hash of which."""
    found = {use: inputs[key] for key, use in CLIP_USES.items() if isinstance(inputs.get(key), Mapping)}
    if not found:
        return
    rows = (
        f'<tr><th scope="row">{use}</th><td><code>{escape(each["hash"][:_HASH_SHOWN])}</code></td>'
        f'<td class="number">{each["number"]:,}</td><td class="number">{_length(each["hours"])}</td></tr>'
        for use, each in found.items()
    )
    yield "<h3>Clips</h3>"
    yield table(["use", "hash of paths, sizes and times", "clips", "length"], rows, num_texts=2)
    whole = [(use, each["hash"]) for use, each in found.items()]
    whole += [(shown, inputs[key]) for key, shown in {"features": "features of", "boxes": "boxes, sha256"}.items()
              if key in inputs]  # fmt: skip
    yield folded("Whole hashes, and what the anchors were made of", facts([*whole, *_anchor_facts(inputs)]))


def _length(hours: float) -> str:
    """Return the length of clips, which is recorded in thousandths of an hour."""
    return duration(3600 * hours) if hours >= 0.05 else "under 3 min"


def _anchor_facts(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    anchors = inputs.get("anchors", {})
    for name, shown in {"command": "anchors made by", "version": "with diffmask"}.items():
        if name in anchors:
            yield shown, str(anchors[name])
    reference = anchors.get("reference")
    if isinstance(reference, Mapping) and "name" in reference:
        yield "general frequencies", str(reference["name"])
    for each in anchors.get("sources", []):
        if isinstance(each, Mapping):
            yield f"anchors' text {each['path']}", each["sha256"]
        else:
            yield "anchors' clips", str(each)
    embedder = anchors.get("embedder")
    if isinstance(embedder, Mapping) and "spec" in embedder:
        yield "anchors' embedder", str(embedder["spec"])
    for each in inputs.get("values of units", []):
        yield "values of units", str(each)


def _machine(run: RunData) -> Iterator[str]:
    if not run.sessions:
        return
    yield "<h3>Machine and versions</h3>"
    last, record = run.sessions[-1], run.record
    pairs = [("hardware", last["hardware"]), ("trained on", f"{last['device']}, processes: {last['num_processes']}")]
    pairs += [("GPU memory, most", f"{last['gpu_gib']} GiB")] if "gpu_gib" in last else []
    pairs.append(("parameters", f"{record['parameters']:,}"))
    pairs += [("text", record["text"])] if record["text"] else []
    pairs += [("rows to train on", f"{record['rows']:,}")] if record["rows"] else []
    pairs.append(("time", duration(run.seconds)))
    pairs.append(("versions", ", ".join(f"{name} {version}" for name, version in last["versions"].items())))
    pairs += [("commit of diffmask", last["commit"])] if last["commit"] else []
    yield f'<div class="card">{facts(pairs)}</div>'
    if len(run.sessions) > 1:
        yield paragraph("The run was interrupted, and gone on with from its last checkpoint.")
        rows = (_session_row(session, run.num_steps) for session in run.sessions)
        yield table(["started", "steps", "time", "ended", "hardware"], rows, num_texts=5)


def _session_row(session: Mapping[str, Any], num_steps: int) -> str:
    ended = "cut off" if not session["ended"] else "finished" if session["last_step"] >= num_steps else "interrupted"
    started = session["started"].replace("T", " ").replace("+00:00", " UTC")
    return (
        f'<tr><th scope="row">{escape(started)}</th><td>{session["first_step"]:,} to {session["last_step"]:,}</td>'
        f"<td>{duration(session['seconds'])}</td><td>{ended}</td><td>{escape(session['hardware'])}</td></tr>"
    )
