"""What to prefer: one file per policy. A policy knows no modality."""
