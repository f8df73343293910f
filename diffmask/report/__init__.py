"""Pages, pictures and tables of what the other packages made.

preview      what previews of text and clips have in common
text, clips  what would be masked, before training or in the middle of it
run          the page of a run
comparison   evaluations compared: tables, figures, a page
html         what pages are made with
figures      figures that are files
"""
