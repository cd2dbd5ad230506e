"""`keys`: API keys of the HTTP service are made, listed and revoked."""

from __future__ import annotations

from typing import Annotated

import typer

from medsiglip.api.cli.commands.invocation import invocation


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose or what the key is for.")],
    scopes: Annotated[
        str, typer.Option(metavar="read,write,...", help="What it may do: read, write, train, report, admin.")
    ],
    expires: Annotated[
        str | None,
        typer.Option(metavar="30d|DATE", help="12h, 30d, 8w, or its last day [it does not expire]."),
    ] = None,
) -> None:
    """Make an API key. It is shown this once; the home keeps a hash of it alone.

    `admin` includes all scopes. The home is made if it is not there yet.

    \b
    Example: medsiglip keys create workstation-3 --scopes read,report --expires 90d
    """
    from medsiglip.api.archive.keys import create_key
    from medsiglip.api.cli.presentation.access import show_made_key

    run = invocation(context)
    chosen = [scope.strip() for scope in scopes.split(",") if scope.strip()]
    with run.archive() as archive:
        run.answer(create_key(archive, name, chosen, expires=expires), show_made_key)


def list_(context: typer.Context) -> None:
    """List the API keys without their secrets.

    \b
    Example: medsiglip keys list
    """
    from medsiglip.api.archive.keys import list_keys
    from medsiglip.api.cli.presentation.access import show_keys

    run = invocation(context)
    with run.archive() as archive:
        run.answer(list_keys(archive), show_keys)


def revoke(
    context: typer.Context, key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id.")]
) -> None:
    """End an API key for good. A running server refuses it within two seconds.

    \b
    Example: medsiglip keys revoke 0a1b2c3d4e5f
    """
    from medsiglip.api.archive.keys import revoke_key
    from medsiglip.api.cli.presentation.access import show_revoked_key

    run = invocation(context)
    with run.archive() as archive:
        run.answer(revoke_key(archive, key_id), show_revoked_key)


def rotate_secret(context: typer.Context) -> None:
    """Give the patients of the home other keys, when secret.key may be known to somebody.

    The file gets a new secret beside the former ones, without which nobody would be known again: back it up.
    Ingest runs that began before are refused, and go on when they are started again. The audit trail, and
    what was exported, keep the former keys; sites and UIDs that were made by the key stay.

    \b
    Example: medsiglip keys rotate-secret
    """
    from medsiglip.api.archive.keys import rotate_secret as rotate
    from medsiglip.api.cli.presentation.access import show_rotated_secret

    run = invocation(context)
    with run.archive() as archive:
        run.answer(rotate(archive), show_rotated_secret)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    keys = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""API keys of the HTTP service.

        \b
        Example: medsiglip keys create workstation-3 --scopes read,report
                 medsiglip keys list
        """,
    )
    keys.command("create")(create)
    keys.command("list")(list_)
    keys.command("revoke")(revoke)
    keys.command("rotate-secret")(rotate_secret)
    app.add_typer(keys, name="keys")
