"""The one place that decides what a request is answered, and when."""
