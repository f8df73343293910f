"""What makes a domain different, and a score for every word type of it (the verb: score, by type).

find.py         the whole way: count, compare, choose, embed, score
vocabulary.py   types of a domain beside a reference, and which may be anchors
encoder.py      embeddings of words, in context or on their own
anchor_set.py   anchors with scores of all types, and their folder
"""
