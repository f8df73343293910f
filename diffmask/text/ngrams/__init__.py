"""N-grams that belong together, each of which is masked as one unit (PMI-Masking).

ngrams.py       what an n-gram is, and a table of many
counts.py       n-grams of a corpus, counted on the disk
vocabulary.py   PMI, the n-grams that are kept, and their folder
annotator.py    texts cut into the n-grams of a vocabulary
"""
