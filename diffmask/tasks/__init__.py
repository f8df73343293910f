"""Labelled tasks: what is read, how it is scored, and what of the test was seen before.

`task` reads texts and labels in their splits, from the `columns` it finds; `encode` makes token ids of them.
`video_task` reads clips and labels. `metrics` scores predictions.
`leakage` finds texts that stand in several splits, by `near_duplicates`.
"""
