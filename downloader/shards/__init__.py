"""Shards: several pipelines of one run, each in a process of its own, and the coordinator that leases work to them."""
