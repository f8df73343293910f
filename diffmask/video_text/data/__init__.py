"""Clips with text: what is read, and the rows that are made of it.

pairs      a clip, or some seconds of it, and a text that goes with it: from tables, indexes and folders
listings   which texts tables, indexes and folders give to which clips
rows       pairs as rows for training
faults     what was left out or put right, counted and named
"""
