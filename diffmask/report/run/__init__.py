"""The page of a run.

read                     the folder of a run, as far as it goes, and what a modality adds
masked_text/clips/pairs  what was masked: one class for each modality
page                     the page, with the run's evaluations
"""
