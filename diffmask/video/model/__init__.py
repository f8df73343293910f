"""Models and their masked forward pass.

load          loads a model with its colours and its processor
autoencoders  VideoMAE and ViT-MAE that compute visible and predicted patches only
targets       what is predicted of a patch: pixels or features
forward       the losses of predicted patches, and pictures of what a model predicts
"""
