"""VideoTextModel: a VideoMAE and a masked language model that are fused, trained with up to four objectives.

config         what it is made of
video_text     the model: encode, fuse, predict tokens and patches, compare and match
fusion         blocks in which text and video attend to each other; at first they change nothing
objectives     the losses of rows: contrastive, and matching with hard negatives
gather         rows of all ranks, with gradients
load           loads it, or makes it of its two parts
"""
