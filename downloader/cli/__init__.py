"""The command line: flags to settings, settings to a run, a run to an exit code. The only part that exits."""
