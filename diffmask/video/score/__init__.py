"""Scores of patches.

embedders       embeddings of patches: OpenCLIP, VideoMAE, pixels
openclip_load   loads models of open_clip
openclip_tower  their image towers, asked for patches
attention       scores from the attention of a teacher
boxes           tables of boxes, and how much of a patch lies in one
score_maps      scores of clips that are kept on disk, and read by rows
"""
