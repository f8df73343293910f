"""What to mask: units, noise, anchors, scores, selection, schedules. Knows torch and nothing else."""
