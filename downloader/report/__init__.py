"""Saying what a run did."""
