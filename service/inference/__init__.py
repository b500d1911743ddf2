"""Models and the thread that runs them. The only place that imports torch."""
