"""`config`: the settings in force."""

from __future__ import annotations

import typer

from medsiglip.api.cli.commands.invocation import invocation


def show(context: typer.Context) -> None:
    """Show every setting, its value, and where that comes from. Passwords are hidden.

    \b
    Example: medsiglip config show
    """
    from medsiglip.api.cli.presentation.access import show_settings
    from medsiglip.api.settings import describe_settings

    run = invocation(context)
    run.answer(describe_settings(run.traced_settings()), show_settings)


def register(app: typer.Typer) -> None:
    """Add the commands of this topic."""
    config = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="""The settings, by command line, environment (MEDSIGLIP_<NAME>), a TOML file or default.

        \b
        Example: medsiglip config show
                 medsiglip config show --help
        """,
    )
    config.command("show")(show)
    app.add_typer(config, name="config")
