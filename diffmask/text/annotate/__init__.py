"""What is known of a word while a corpus is tokenised: its class, and the salient span that it is in.

span_file.py        labelled spans, and files of them made by hand or by another tool
word_classes.py     classes by frequency, TF-ICF, shape, or a lexicon
salient.py          salient spans by a rule for English, or by a gazetteer
spacy_pipeline.py   parts of speech and entities of a spaCy pipeline
"""
