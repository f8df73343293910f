"""Evaluate models on labelled tasks, and compare what comes out.

`run` does one evaluation, seed by seed, by the methods that a `modality` hands in: those of `methods/`.
`seed_file` writes, reads and checks the file of one seed; `results` gathers the seeds of one model on one task.
`compare` tells which results differ by more than chance, with the intervals and tests of `resampling`.
"""
