"""Files: corpora that are read piece by piece, and results that are written whole or not at all.

* `streams` (bytes, decompressed) -> `blocks` (lines) -> `tables` (separated values) -> `records` (rows of any format)
* `parallel`: a function over pieces, in several processes
* `folders`: drafts that get their names when they are whole, and folders that may be written
* `made_folder`: tables to read and edit, and the record of how a folder was made
* `pretrained`: configs of models; pickled weights, refused with how to convert them
* `splits`: train, dev and test, and what files and rows call them
* `cache`: Arrow files that several runs share
"""
