"""Contract suites that every store, checkpoint store, strategy and engine passes; subclass them in your tests."""

import pkgutil
import sys

if "pytest" in sys.modules:  # failures show the values that they compare, as in tests of one's own
    sys.modules["pytest"].register_assert_rewrite(
        *(f"{__name__}.{suite.name}" for suite in pkgutil.iter_modules(__path__))
    )
