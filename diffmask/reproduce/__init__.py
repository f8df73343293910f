"""Experiments: from one file to a table of results.

* `fetch`: the public data sets (tools/fetch_data)
* `place`: one task and its files; `text_runs` and `pair_runs`: what becomes of arms on texts, and on clips with texts
* `plan`: an experiment's jobs -> `runner`: runs them, several at a time -> `run`: all of it, and the table
* `experiments/`: those that come with diffmask
"""
