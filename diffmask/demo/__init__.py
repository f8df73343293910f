"""Data that need no download.

* `docstrings`: texts, from the source of installed packages
* `rendered_clips`: clips of moving digits, drawn in code
"""
