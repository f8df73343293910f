"""From clips to rows.

readers   decord, PyAV and torchcodec behind one protocol
read_pyav the reader that is exact for every clip
sampling  which frames of a clip, and which rectangle of them
dataset   rows of clips for a run, and the log of those that fail
"""
