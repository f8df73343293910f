"""Settings of a pretraining run."""


class ConfigError(ValueError):
    """A setting that cannot be used: one sentence with what was given, what is allowed and what to do."""
