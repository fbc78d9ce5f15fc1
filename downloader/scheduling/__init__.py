"""Which item is next, and when: host queues, pauses, concurrency limits.

Generic: knows no HTTP, and does no I/O under its lock.
"""
