"""The training side: the only place that imports torch."""
