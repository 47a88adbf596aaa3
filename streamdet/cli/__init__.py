"""The command line: one file per verb; the only place that prints, reads the environment or sets an exit code."""
