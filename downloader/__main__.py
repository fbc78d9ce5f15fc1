"""The command. Light on purpose: worker processes import the main module again, and need none of the application."""


def main() -> None:
    """Run the command line."""
    from downloader.cli.app import main as run_command_line  # noqa: PLC0415 - see above

    run_command_line()


if __name__ == "__main__":
    main()
