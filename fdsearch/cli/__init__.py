"""The command line: parses, calls `pipeline`, `registry` or `serving`, and prints; it decides nothing itself.

`app` gathers the commands, `command` gives each the common options and prints its document, `errors` words what went
wrong, `show` and `progress` are what a person sees.
"""
