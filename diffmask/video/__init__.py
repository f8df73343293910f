"""Everything about clips: files, frames, units, models, scores and anchors.

clip     a file of video, how it is found, and what tables say of it
index    probing files in processes of their own, and the index on disk
read     frames of clips, crops of them, and the rows that a run reads
units    the grid of patches, units made of them, and values of patches
model    models, the masked forward pass and its targets
score    embeddings, score maps, boxes and attention
anchors  visual words, and the anchors that make a domain different
adapter  the face: VideoAdapter, which the trainer is handed
"""
