"""The tree of commands: what each is called, what it takes, and which module runs it.

Those modules are imported inside the commands, because the HTTP client alone takes longer to import
than `paddock --version` and the help pages take to run.
"""

from pathlib import Path

import click

import gateway
from gateway.cli.console import Console
from gateway.cli.flags import CommandTree, switch

# Those of runners.build.install, whose import takes longer than a help page.
FLAVOURS = ("auto", "cpu", "cuda", "hip", "vulkan", "metal")
SERVER = "The server is found by PADDOCK_HOST (default 127.0.0.1:11434)."


@click.group(
    cls=CommandTree,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(gateway.__version__, "-v", "--version", message="paddock version %(version)s")
@click.pass_context
def root(context: click.Context) -> None:
    """A local model server and its command line."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@root.command(epilog="PADDOCK_HOST is the address to listen on (default 127.0.0.1:11434).")
@click.pass_context
def serve(context: click.Context) -> None:
    """Start the server. Also: start."""
    from gateway.serve import main

    context.exit(main())


@root.command(epilog=SERVER)
@click.argument("model")
@click.option("-f", "--file", default="", help="Modelfile to read, - for standard input.")
@click.option("-q", "--quantize", default="", help="Quantise the model to this type (q4_K_M).")
@click.option("--draft-quantize", default="", help="Quantise the draft model to this type.")
@click.pass_obj
def create(console: Console, model: str, file: str, quantize: str, draft_quantize: str) -> None:
    """Create a model from a Modelfile."""
    from gateway.cli.client import connect
    from gateway.cli.create import create_model

    with connect(console.environ) as api:
        create_model(model, file, quantize, draft_quantize, console, api)


@root.command(epilog=SERVER)
@click.argument("model")
@switch("--license", help="The licence only.")
@switch("--modelfile", help="The Modelfile only.")
@switch("--parameters", help="The parameters only.")
@switch("--system", help="The system text only.")
@switch("--template", help="The template only.")
@switch("-v", "--verbose", help="Metadata and tensors as well.")
@click.pass_obj
# Positional-only, or a flag could be called `console`, for all a type checker knows.
def show(console: Console, /, model: str, verbose: bool, **parts: bool) -> None:
    """Show what a model is."""
    from gateway.cli.client import connect
    from gateway.cli.show import show_model

    with connect(console.environ) as api:
        show_model(model, [name for name, chosen in parts.items() if chosen], verbose, console, api)


@root.command(epilog=f"{SERVER} With NO_COLOR set there are no colours.")
@click.argument("model")
@click.argument("prompt", nargs=-1)
@click.option("--dimensions", type=int, default=0, help="Length of the vector (embedding models).")
@click.option("--format", "output_format", default="", help="json, or a JSON schema.")
@switch("--hidethinking", help="Do not show the thinking.")
@switch("--insecure", help="Speak plain http with the registry.")
@click.option("--keepalive", default="", help="How long the model stays loaded, such as 5m.")
@switch("--nowordwrap", help="Leave long lines to the terminal.")
@click.option(
    "--think",
    is_flag=False,
    flag_value="true",
    metavar="[=LEVEL]",
    help="true, false, high, medium, low or max.",
)
@switch("--truncate", default=None, help="Cut a text that is too long (embedding models).")
@switch("--verbose", help="Show timings after the answer.")
@click.pass_obj
def run(
    console: Console,
    model: str,
    prompt: tuple[str, ...],
    dimensions: int,
    output_format: str,
    hidethinking: bool,
    insecure: bool,
    keepalive: str,
    nowordwrap: bool,
    think: str | None,
    truncate: bool | None,
    verbose: bool,
) -> None:
    """Run a model: answer a prompt, or chat."""
    from gateway.cli.client import connect
    from gateway.cli.run import RunOptions, parse_format, parse_keep_alive, parse_think, run_model

    with connect(console.environ) as api:
        options = RunOptions(
            model,
            think=None if think is None else parse_think(think),
            format=parse_format(output_format),
            keep_alive=parse_keep_alive(keepalive),
            hide_thinking=hidethinking,
            word_wrap=not nowordwrap,
            verbose=verbose,
            insecure=insecure,
            truncate=truncate,
            dimensions=dimensions,
        )
        run_model(options, prompt, console, api)


@root.command(epilog=SERVER)
@click.argument("model")
@click.pass_obj
def stop(console: Console, model: str) -> None:
    """Unload a running model."""
    from gateway.cli.client import connect
    from gateway.cli.models import stop_model

    with connect(console.environ) as api:
        stop_model(model, api)


@root.command(epilog=SERVER)
@click.argument("model")
@switch("--insecure", help="Speak plain http with the registry.")
@click.pass_obj
def pull(console: Console, model: str, insecure: bool) -> None:
    """Get a model from a registry."""
    from gateway.cli.client import connect
    from gateway.cli.transfer import pull_model

    with connect(console.environ) as api:
        pull_model(model, insecure, console, api)


@root.command(epilog=SERVER)
@click.argument("model")
@switch("--insecure", help="Speak plain http with the registry.")
@click.pass_obj
def push(console: Console, model: str, insecure: bool) -> None:
    """Send a model to a registry."""
    from gateway.cli.client import connect
    from gateway.cli.transfer import push_model

    with connect(console.environ) as api:
        push_model(model, insecure, console, api)


# Ollama takes any number of words here and reads the first; scripts pass more.
@root.command("list", epilog=SERVER)
@click.argument("prefix", nargs=-1, metavar="[PREFIX]")
@click.pass_obj
def list_(console: Console, prefix: tuple[str, ...]) -> None:
    """List the models. Also: ls."""
    from gateway.cli.client import connect
    from gateway.cli.models import list_models

    with connect(console.environ) as api:
        list_models("".join(prefix[:1]), console, api)


@root.command(epilog=SERVER)
@click.argument("prefix", nargs=-1, metavar="[PREFIX]")
@click.pass_obj
def ps(console: Console, prefix: tuple[str, ...]) -> None:
    """List the running models."""
    from gateway.cli.client import connect
    from gateway.cli.models import list_running

    with connect(console.environ) as api:
        list_running("".join(prefix[:1]), console, api)


@root.command(epilog=SERVER)
@click.argument("source")
@click.argument("destination")
@click.pass_obj
def cp(console: Console, source: str, destination: str) -> None:
    """Copy a model."""
    from gateway.cli.client import connect
    from gateway.cli.models import copy_model

    with connect(console.environ) as api:
        copy_model(source, destination, console, api)


@root.command(epilog=SERVER)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.pass_obj
def rm(console: Console, models: tuple[str, ...]) -> None:
    """Remove models."""
    from gateway.cli.client import connect
    from gateway.cli.models import remove_models

    with connect(console.environ) as api:
        remove_models(models, console, api)


@root.command(epilog=SERVER)
@click.pass_obj
def version(console: Console) -> None:
    """Show the versions of the server and of this program."""
    from gateway.cli.version import show_versions

    show_versions(console)


@root.group(invoke_without_command=True)
@click.pass_context
def engine(context: click.Context) -> None:
    """Show the engine in use, or build one."""
    if context.invoked_subcommand is None:
        from gateway.cli.engine import show_engine

        show_engine(context.obj)


@engine.command()
@click.option("--flavour", type=click.Choice(FLAVOURS), default="auto", help="What it computes on.")
@click.option(
    "--source", type=click.Path(path_type=Path), help="A llama.cpp archive or tree of your own."
)
@click.option("--rebuild", is_flag=True, help="Build even if the cache has this engine.")
@click.pass_obj
def install(console: Console, flavour: str, source: Path | None, rebuild: bool) -> None:
    """Build the engine that this version needs, unless the cache has it."""
    from gateway.cli.engine import install_engine

    install_engine(flavour, source, rebuild, console)


@root.command("help")
@click.argument("command", nargs=-1, metavar="[COMMAND]")
@click.pass_context
def help_(context: click.Context, command: tuple[str, ...]) -> None:
    """Help about any command."""
    tree = context.find_root()
    topic = root.get_command(tree, command[0]) if command else None
    if topic:
        click.echo(topic.get_help(click.Context(topic, tree, info_name=topic.name)))
        return
    if command:
        # No error: Ollama answers with the whole list and exit code 0.
        click.echo(f"Unknown help topic [`{command[0]}`]")
    click.echo(tree.get_help())
