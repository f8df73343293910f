"""Models of transformers: loaded, shown masked text, asked for what was masked (the verb: corrupt).

fit.py         whether a model, its tokenizer and its rows fit together, and how much each family reads
load.py        models and tokenizers by name, or one sentence that says what is wrong
masked_lm.py   what the model sees at masked positions, and the loss there
end_task.py    a classifier that is trained in the same steps
"""
