"""Secrets as the API server encodes them: in protobuf, or in JSON where protobuf is not available."""
