"""Storing results: where they go, under which name, and in which order things become durable."""
