"""Clips and their texts together: a model of both, what is masked of both, and the pairs that it learns from.

anchors/  what makes a domain of both different, in words and in what is seen
data/     clips with captions, subtitles and questions, and the rows that are made of them
model/    VideoMAE and a masked language model with fusion between them, and its objectives
"""
