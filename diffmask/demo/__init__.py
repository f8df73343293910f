"""Data that need no download.

* `docstrings`: texts, from the source of installed packages
* `rendered_clips`: clips of moving digits, drawn in code
* `rendered_pairs`: clips of two moving digits, with captions and questions
* `draw_clips`: what both kinds of clips are drawn from
"""
