"""Pictures of a training run, and the report that gathers them."""
