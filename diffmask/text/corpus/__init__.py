"""What is read: files become documents, words and counts of words.

documents.py   files, folders and globs as a stream of documents or blocks, and their hashes
words.py       what a word is: classes of characters, the words and types of a text
counts.py      how often each type occurs in a corpus, and the file of counts
reference.py   general frequencies that a domain is compared with
"""

from diffmask.text.corpus.documents import Document as Document
from diffmask.text.corpus.documents import read_documents as read_documents
