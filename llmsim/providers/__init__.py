"""The APIs that are simulated: one folder a provider, one line in the registry."""
