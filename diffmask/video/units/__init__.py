"""Patches of clips.

grid      the grid of patches, the units made of them, and which ones a model sees
features  values of patches on the device: maps, motion, appearance, embeddings
"""
