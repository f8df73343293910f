"""selective."""
