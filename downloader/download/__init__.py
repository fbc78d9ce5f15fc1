"""Getting the bytes of an item into a file on this machine: I/O, on threads."""
