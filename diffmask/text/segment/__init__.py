"""Documents become rows of tokens and units (the verb: segment).

segmenter.py   tokens of a text, and the words that they make, for any fast tokenizer
rows.py        windows of long documents, rows with units and types; the interface of annotators
tokenise.py    a whole corpus as rows: kept on the disk, or streamed
pad.py         rows as padded batches of tensors
"""
