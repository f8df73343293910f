"""How models of text and of video learn a task: `text` and `video` hand in their methods.

`tuner` fine-tunes what they give it; `frozen` reads features: a logistic regression, neighbours, an attentive probe.
"""
