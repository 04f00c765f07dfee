"""The OpenResponses API."""
