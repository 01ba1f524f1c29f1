"""The table of exit codes, and the forms of errors and log lines."""

from __future__ import annotations

import json
import logging

import click
import pytest

from lash_core import errors
from lash_worker.cli.exit_codes import error_facts, exit_code, report
from lash_worker.cli.logs import JsonFormatter, TextFormatter


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.AlreadyTerminalError("p"), 1),
        (errors.CorruptRecordError("bad row"), 1),
        (errors.NotAvailableError("not yet"), 1),
        (click.UsageError("no"), 2),
        (errors.InvalidArgumentError("no"), 2),
        (errors.InvalidRegistrationError("no"), 2),
        (errors.UnknownSignalError("no"), 2),
        (errors.UnknownKindError("no"), 2),
        (errors.SettingsError("no"), 2),
        (errors.UnknownProcessError("p"), 3),
        (errors.RegistrationConflictError("p", existing_hash="a", new_hash="b"), 4),
        (errors.ReplayKeyConflictError("p", "k"), 4),
        (errors.StoreUnreachableError("no"), 5),
        (errors.StoreFullError("no"), 5),
        (errors.StoreReadOnlyError("no"), 5),
        (errors.StoreLayoutError("no"), 5),
        (errors.OutcomeUnknownError("maybe"), 6),
        (TimeoutError("late"), 7),
        (KeyError("a bug"), None),
    ],
)
def test_each_error_has_its_exit_code(error: Exception, code: int | None) -> None:
    """0 done, 1 failed, 2 input, 3 not found, 4 conflict, 5 store, 6 unknown, 7 timed out; a bug has none."""
    assert code == exit_code(error)


def test_the_json_form_says_whether_anything_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs decide on it."""
    assert 6 == report(errors.OutcomeUnknownError("the reply was lost"), as_json=True)

    printed = json.loads(capsys.readouterr().err)["error"]
    assert {"code", "message", "field", "value", "limit", "outcome"} == printed.keys()
    assert ("outcome_unknown", "unknown") == (printed["code"], printed["outcome"])
    assert "not_done" == error_facts(TimeoutError("late"))["outcome"]


def test_a_bug_keeps_its_traceback() -> None:
    """It is no answer to a user."""
    with pytest.raises(KeyError):
        report(KeyError("x"), as_json=True)


def record_of(**fields: object) -> logging.LogRecord:
    record = logging.makeLogRecord({"msg": "took %s", "args": ("p",), "levelname": "INFO", "name": "lash", **fields})
    record.created = 1_800_000_000.5
    return record


def test_json_log_lines_carry_the_fields_of_a_run() -> None:
    """Process id, fence and owner are fields and not text."""
    line = json.loads(JsonFormatter().format(record_of(process_id="p", fence=7, owner="w", odd=object)))

    assert {"ts", "level", "logger", "message", "process_id", "fence", "owner", "odd"} == line.keys()
    assert ("2027-01-15T08:00:00.500Z", "info", "took p", 7) == (
        line["ts"],
        line["level"],
        line["message"],
        line["fence"],
    )


def test_text_log_lines_carry_them_too() -> None:
    """Behind the message."""
    assert "2027-01-15T08:00:00.500Z INFO    took p fence=7" == TextFormatter().format(record_of(fence=7))
