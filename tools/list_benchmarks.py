"""Print the command of each benchmark, with the first line of what it measures."""

import ast
from pathlib import Path


def main() -> None:
    for path in sorted(Path("benchmarks").glob("[!_]*.py")):
        told = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "(no docstring)"
        print(f".venv/bin/python {path}\n    {told.splitlines()[0]}")


if __name__ == "__main__":
    main()
