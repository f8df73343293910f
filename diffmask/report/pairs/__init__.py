"""Clips and their texts, as policies look at them: words and patches side by side.

look     how a policy of both sides looks at them
source   the pairs that `diffmask preview` shows
preview  what is shown: page, terminal
"""
