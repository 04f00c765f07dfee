"""llmsim simulates the traffic of LLM APIs without a model."""

__version__ = "0.5.0"
