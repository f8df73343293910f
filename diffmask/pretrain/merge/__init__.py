"""Weights between those of an original model and of the one that it was continued to.

weights   one model of two
frontier  what each share of the way is worth: loss on the domain, loss on general text, score on a task's dev split
"""
