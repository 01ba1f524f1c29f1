"""Tests of lash."""

import pytest

# Before any test module imports a case: the suites' asserts explain themselves like those of test modules.
pytest.register_assert_rewrite("lash_core.testing.conformance")
