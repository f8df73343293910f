"""Experiments: from one file to a table of results.

* `fetch`: the public data sets (tools/fetch_data)
* `plan`: an experiment's jobs -> `runner`: runs them, several at a time -> `run`: all of it, and the table
* `experiments/`: those that come with diffmask
"""
