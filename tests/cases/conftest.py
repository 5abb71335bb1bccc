from __future__ import annotations

from collections.abc import Iterator

import pytest
from cases.table import Table


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """The outcomes of a module, printed at its end."""
    outcomes = Table()
    yield outcomes
    print("\n" + "\n".join(outcomes.lines))
