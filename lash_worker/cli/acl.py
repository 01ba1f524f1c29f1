"""``lash acl print``: what to put into Redis for a role."""

from __future__ import annotations

import click

from lash_core.redis_store.acl import ROLES, Role, acl_line, acl_rules, acl_text
from lash_worker.cli.effective_settings import settings_of
from lash_worker.cli.invocation import Invocation, json_option, pass_invocation, shared_options
from lash_worker.cli.output import print_json


@click.group("acl")
def acl() -> None:
    """Print ACL rules for a role."""


@acl.command("print")
@click.argument("role", type=click.Choice(ROLES))
@click.option("--rules", "only_line", is_flag=True, help="Only the line of an ACL file.")
@json_option
@shared_options
@pass_invocation
def print_role(invocation: Invocation, role: Role, *, only_line: bool, as_json: bool) -> None:
    """Print what ROLE may do in this namespace, and the line that gives it. No server is asked."""
    namespace = settings_of(invocation).store.namespace
    if as_json:
        print_json({"role": role, "namespace": namespace, "rules": acl_rules(role, namespace)})
    else:
        click.echo(acl_line(role, namespace) if only_line else acl_text(role, namespace).rstrip())
