"""Output names: safe on every file system, unique within an output, made from rows and templates. Pure.

    segments.py    single file and folder names made safe; extensions
    names.py       whole names: when two of them clash, alternatives, paths of finished files
    parts.py       what a row says about its name: file name, folders, host
    templates.py   `--name` templates
    rules.py       the rules of a run, made once from the settings; gives every row its name

Names come from untrusted input: URLs, file names, table cells. Every segment of a path goes through `safe_segment`,
which applies the rules of POSIX and of Windows on every platform, so an output folder can be copied anywhere.
"""
