"""Anchors of a domain of clips.

find           settings, and anchors found as visual words or given as texts and pictures
visual_words   patches of clips, clustered and counted
anchor_set     the anchors, the score that follows from them, and their folder
contact_sheet  a picture of what each anchor looks like
"""
