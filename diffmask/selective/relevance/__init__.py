"""Relevant text: the documents of a pool that are close to a domain, or to the training texts of a task.

pool         the documents of a pool, read as often as is needed, and never kept
target       the texts that documents should be like, and those that none may be a copy of
difference, neighbours, ngrams   three ways to say how close a document is
copies       what is left out: texts to evaluate on, and documents that are repeated
select       the choice: what is taken, what is left out, and what is written
"""
