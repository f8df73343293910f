"""What a labelled task needs: which tokens, and which text.

`make` builds a scorer of tokens for selective masking, from the texts that `task` reads and the words that `gain` finds
a classifier to need. `relevance` chooses the text of a pool that is like a task or a domain.
"""
