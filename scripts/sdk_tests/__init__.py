"""The official SDKs' own test files against a server: `sdists` gets them, `suites` runs them, `reasons` explains failures, `table` prints."""
