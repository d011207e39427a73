"""`tidegate hash-password`."""

from __future__ import annotations

import sys

import typer

from gateway.cli.console import refuse

app = typer.Typer()


@app.command("hash-password")
def hash_password() -> None:
    """Print the hash of a password for `credentials.password_hash` of an EMS session.

    The password is asked for twice, without echo; where there is no terminal it is the first line of stdin.
    """
    from gateway.engine.credentials import hash_password as hashed

    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().removesuffix("\n").removesuffix("\r")
    try:
        typer.echo(hashed(password))
    except ValueError as error:
        refuse(str(error))
