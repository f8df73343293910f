"""Training with masks: a Hugging Face Trainer that is given a masker and an adapter.

* `masking`: what a run masks with -> `trainer`: draws masks and computes losses; `meter`: figures about them
* `objective`: a second loss in the same steps; `optimizer`: rates by depth; `buckets`: order of rows
* `callbacks`: log, Ctrl-C, feedback, progress bar
* `folder`: folder and checkpoints of a run; `record`: run.json and the model card
"""
