"""Helpers of the tests: fakes, builders of turns and requests, clients and real servers."""
