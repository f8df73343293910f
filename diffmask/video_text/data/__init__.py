"""Clips with text: what is read, and the rows that are made of it.

pairs            a clip, or seconds of it, and a text that goes with it: from tables, indexes, files of questions
listings         which texts tables give to which clips
beside           which texts stand in files of their own, beside clips
subtitles        SubRip and WebVTT as cues, and parts of a clip with what is said in them
rows             pairs as rows for training
questions        questions with answers to choose from, or open ones, from the files of data sets
recognise        whether files hold pairs, and not clips or texts alone
match_questions  which clip a question is about
tokenise_parts   texts that are too long, cut so that their answer stays
faults           what was left out or put right, counted and named
times            seconds, clock times and spans of them
"""
