"""Settings: what they are (`settings`, pure) and where they come from (`load`)."""
