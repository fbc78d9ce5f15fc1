"""Nouns shared by the stages; pure."""
