"""The whole method once, small and offline: data, anchors, a preview, runs with several policies, a task, one page.

run.py    the steps in their order, the folder they write into, and the page; the same for every modality
text.py   what is special to text: the documentation of installed packages, MiniLM, words
video.py  what is special to clips: rendered digits over moving clutter, a small VideoMAE, patches
"""
