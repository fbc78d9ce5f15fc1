"""Output names: safe on every file system, claimed once, made from templates. Pure."""
