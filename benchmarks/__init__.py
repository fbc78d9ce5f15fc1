"""How fast this program is compared with others that do the same work. Not shipped; `make bench` runs it.

Linux only: it reads `/proc` and adopts orphans to count the CPU of every process that a contestant starts.
"""
