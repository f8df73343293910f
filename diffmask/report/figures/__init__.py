"""Figures that are files: `figures` (how all of them look), `schedules` before a run, `run_logs` after it."""
