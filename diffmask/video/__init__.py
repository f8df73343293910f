"""Video: clips, their patches as units, what is hidden of them and what is predicted."""
