"""The command line: a module a command, each importing what it needs only when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from evoagent.cli.doctor import doctor
from evoagent.cli.export import export
from evoagent.cli.graph import graph
from evoagent.cli.init import init
from evoagent.cli.leaving import leave
from evoagent.cli.lineage import lineage
from evoagent.cli.models import app as models
from evoagent.cli.plugins import app as plugins
from evoagent.cli.run import run
from evoagent.cli.score import score
from evoagent.cli.terminal import open_streams, tell, write
from evoagent.cli.validate import validate

app = typer.Typer(
    name="evoagent",
    help="Evolve instruction-tuning data with small language models on your own hardware.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(init)
app.command()(run)
app.command()(score)
app.command()(export)
app.command()(lineage)
app.add_typer(models, name="models")
app.add_typer(plugins, name="plugins")
app.command()(validate)
app.command()(doctor)
app.command()(graph)


def _version(wanted: bool) -> None:
    if wanted:
        from evoagent import __version__

        write(f"evoagent {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; errors that are no bugs become one message and an exit code."""
    from evoagent.errors import EvoAgentError
    from evoagent.failures import explain
    from evoagent.models.engines.packed.threads import wait_passively

    open_streams()
    wait_passively()
    try:
        app()
    except EvoAgentError as error:
        tell(f"error: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        tell("interrupted")
        sys.exit(130)
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        tell(f"error: {where}{error.strerror or explain(error)}")
        sys.exit(2)
    finally:
        leave()


if __name__ == "__main__":
    main()
