"""The page of a run.

read               the folder of a run, as far as it goes
data               what a page shows, and what a modality tells for it
masked_text/clips  what was masked, seen again: one class for each modality
page               the page
evaluations_html   its evaluations
"""
