"""How much each unit is wanted (the verb: score): one file per policy. A policy knows no modality.

uniform.py          no preference
difference.py       a table of scores by type: what is near to a domain's anchors
feature.py          scores that units bring along: attention, gain, salience, motion, boxes
loss_weighted.py    classes of units whose loss is high, learned during the run
predicted_loss.py   units whose loss a small network predicts to be high, learned during the run
mixture.py          two policies, one for each share of the draws
"""
