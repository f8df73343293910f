"""Labelled tasks: reading, scoring, and finding test examples that were seen before.

`task` reads texts and labels in their splits, from the `columns` it finds, and makes token ids of them.
`video_task` reads clips and labels. `metrics` scores predictions.
`leakage` finds texts that are in several splits, by `near_duplicates`.
"""
