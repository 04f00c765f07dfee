"""Azure OpenAI: the OpenAI API behind deployments, with Azure's addresses, errors and content filters. Start in `provider.py`."""
