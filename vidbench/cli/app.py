"""The command tree and the one place where errors become exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

import vidbench
from vidbench.cli import attack, console, data, demo, env, label, model, report, weights
from vidbench.errors import EXIT_BUG, EXIT_INPUT, EXIT_INTERRUPTED, EXIT_MISSING, EXIT_OK, VidbenchError

app = typer.Typer(
    name="vidbench",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done, 1 a bug, 2 usage, 3 bad input, 4 something is missing, 5 run conflict, "
        "6 done but with failures, 7 network or checksum, 130 interrupted (the same command resumes)."
    ),
)
app.add_typer(data.app, name="data")
app.add_typer(label.app, name="label")
app.add_typer(model.app, name="model")
app.add_typer(attack.app, name="attack")
app.add_typer(weights.app, name="weights")
app.add_typer(env.app, name="env")
app.command("report")(report.report)
app.command("demo")(demo.demo)


def _version(show: bool) -> None:
    if show:
        print(f"vidbench {vidbench.__version__}")
        raise typer.Exit


@app.callback()
def root(
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no remarks; results and errors only.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Evaluate, attack, fine-tune and label data for video action recognition."""
    console.set_quiet(quiet)


def main(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code; never raises, never exits."""
    console.set_argv(argv)
    try:
        app(args=list(argv), prog_name="vidbench")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_OK if stop.code is None else EXIT_BUG
        if code == EXIT_INTERRUPTED:
            console.remark("\nvidbench: interrupted; run the same command to resume")
        return code
    except KeyboardInterrupt:
        console.remark("\nvidbench: interrupted; run the same command to resume")
        return EXIT_INTERRUPTED
    except VidbenchError as failure:
        console.error(failure)
        # a file that a broken package cannot read is not the file's fault
        known = _point_back(str(failure))
        return EXIT_MISSING if known and failure.exit_code in (EXIT_BUG, EXIT_INPUT) else failure.exit_code
    except Exception as error:
        traceback.print_exc()
        if _point_back(f"{type(error).__name__}: {error}"):
            return EXIT_MISSING
        console.remark("vidbench: this is a bug; please report it with the lines above and `vidbench env check`")
        return EXIT_BUG
    return EXIT_OK


def _point_back(text: str) -> bool:
    """Say which check looks at the cause of an error that is known; whether it is."""
    from vidbench.env.known_errors import recognise

    known = recognise(text)
    if known is None:
        return False
    console.remark(f"vidbench: {known.cause} (`vidbench env explain {known.check}`)\n{known.remedy}")
    return True


def run() -> None:
    """The console script."""
    sys.exit(main(sys.argv[1:]))
