"""Names in settings become objects here, and nowhere else.

modality    what tells text from video: one object for each, and the table of them
masking     a masking whose names are looked up once (`ResolvedMasking`); text, video: what is theirs
recipe      what a policy is by name; weightings
annotators  names of classes and of salient spans
schedules   names of schedules and presets; training: settings as the Trainer's arguments
"""
