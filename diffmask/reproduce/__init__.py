"""Experiments: arms x seeds x tasks with equal budgets, run or continued by one command."""
