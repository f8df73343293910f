"""The core: which units are masked. It knows torch, and no text, video or files.

* `types`, `units`: what adapters give to policies
* `difference`, `anchors`, `similarity`: what makes a domain different, and scores from it
* `policy` (scores to weights) -> `select` (weights to masks, by `noise`); `masker` calls both, `schedule` says how much
* `errors`, `machine`, `processes`: bad input, the computer, and how many processes make sense on it
"""
