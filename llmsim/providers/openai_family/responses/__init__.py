"""The Responses API, common to its dialects: requests, the response object, its events, stored responses; start in `endpoint`."""
