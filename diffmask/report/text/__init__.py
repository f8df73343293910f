"""What would be masked in text.

look     how a policy looks at it, and what is known of words
cut      texts as units, and which of them are looked at
source   the text that `diffmask preview` shows
preview  what is shown: page, terminal
"""
