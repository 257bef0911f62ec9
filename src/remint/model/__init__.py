"""Frozen nouns of remint: values in, values out; no clock, no files, no environment."""
