"""What makes a domain of clips with texts different: words, and what is seen (the verb: score).

find.py          the whole way: one space for words and patches, or anchors of each side's own
pair_anchors.py  anchors of both sides, and their folder
"""
