"""Fixtures of the tests of the loop."""

import pytest

from tests.helpers.loop_runs import run


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Twelve steps in one go."""
    workdir = tmp_path_factory.mktemp("undisturbed")
    run(workdir)
    return workdir
