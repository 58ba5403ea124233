"""The script for atheris is no test, and its import fails where atheris is not installed."""

collect_ignore = ["atheris_readers.py"]
