"""What people look at; it reads what the others made.

preview      what previews of text and of clips have in common
text, clips  what would be masked, before training or in the middle of it
run          the page of a run
compare      runs and evaluations held against each other
html         what pages are made with
figures      figures that are files
"""
