"""Help pages: layout, order and columns."""

from gateway.cli.commands import COMMANDS, find
from gateway.cli.help import command_page, root_page


def test_the_root_page_lists_every_command() -> None:
    lines = root_page().splitlines()
    start = lines.index("Available Commands:") + 1
    names = [line.split()[0] for line in lines[start : lines.index("", start)]]
    assert names == [*(command.name for command in COMMANDS), "help"]
    assert lines[start] == "  serve       Start the server"
    assert lines[2:5] == ["Usage:", "  paddock [flags]", "  paddock [command]"]
    assert lines[-1] == 'Use "paddock [command] --help" for more information about a command.'


def test_a_command_page_has_its_blocks_in_order() -> None:
    assert command_page(find("list")) == (
        "List the models\n"
        "\n"
        "Usage:\n"
        "  paddock list [PREFIX] [flags]\n"
        "\n"
        "Aliases:\n"
        "  list, ls\n"
        "\n"
        "Flags:\n"
        "  -h, --help   show this text\n"
        "\n"
        "Environment Variables:\n"
        "      PADDOCK_HOST                  "
        "address of the Paddock server (default 127.0.0.1:11434)\n"
    )


def test_flags_are_sorted_and_their_texts_aligned() -> None:
    page = command_page(find("create"))
    flags = page[page.index("Flags:") : page.index("\n\nEnvironment")].splitlines()[1:]
    assert [flag.split("   ")[0].strip() for flag in flags[1:]] == [
        "-f, --file string",
        "-h, --help",
        "-q, --quantize string",
    ]
    assert flags[0].startswith("      --draft-quantize string   quantise")
    assert flags[1].index("Modelfile") == flags[0].index("quantise")


def test_an_optional_value_is_shown() -> None:
    assert '      --think string[="true"]   true, false' in command_page(find("run"))
