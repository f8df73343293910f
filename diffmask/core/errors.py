"""The one exception that stands for bad input."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence that says what was given, what is allowed and what to do. The command line prints it
    and exits with status 2; every other exception is a defect of diffmask and keeps its traceback.
    """
