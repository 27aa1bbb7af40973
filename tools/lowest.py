"""Print the lower bound of each dependency that warren always has, as constraints for pip."""

import importlib.metadata
import re
import sys


def main() -> int:
    for requirement in importlib.metadata.requires("warren") or []:
        if "extra ==" in requirement:
            continue
        bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)", requirement)
        if bound is None:
            print(f"no lower bound in the dependency {requirement!r} of pyproject.toml", file=sys.stderr)
            return 1
        print(f"{bound[1]}=={bound[2]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
