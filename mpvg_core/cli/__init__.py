"""The command line: `mpvg film`, `mpvg plan`, `mpvg takes`, `mpvg assemble`. Importing it loads no torch."""
