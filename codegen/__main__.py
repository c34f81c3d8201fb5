"""python -m codegen CIRCUIT -o DIR: write a trained circuit as C to paste into another project. Nothing is trained for it."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from codegen.artefact import artefact
from codegen.circuit import Circuit, CircuitFileError
from codegen.emit_c import ANY, LANES
from codegen.whole_file import write_whole


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, or 2 if there is nothing that can be done as asked."""
    parser = argparse.ArgumentParser(prog="python -m codegen", description=__doc__)
    parser.add_argument("circuit", type=Path, help="a circuit.safetensors, or the folder of a job that has one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the C, made if it is missing")
    parser.add_argument("--name", default="circuit", help="prefix of the files and of every function (default: circuit)")
    parser.add_argument(
        "--isa",
        choices=[ANY, *LANES],
        default=ANY,
        help=f"words to compute with; {ANY} (the default) takes the widest of what the text is compiled for",
    )
    options = parser.parse_args(arguments)
    path = options.circuit / "circuit.safetensors" if options.circuit.is_dir() else options.circuit
    try:
        made = artefact(Circuit.load(path), options.name, options.isa)
        options.output.mkdir(parents=True, exist_ok=True)
        for name, text in made.files.items():
            write_whole(options.output / name, text.encode())
    except (CircuitFileError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.output} cannot be written: {error}", file=sys.stderr)
        return 2
    console = Console(highlight=False)
    console.print(f"{made.netlist.n_gates} gates, {made.operators} operations a word, {made.stack_bytes / 1024:.0f} KiB of stack")
    for name, text in made.files.items():
        console.print(f"{options.output / name}  {len(text) / 1024:,.0f} KiB", soft_wrap=True)
    test = f"{options.name}_test"
    console.print(
        f"try it: cd {options.output} && cc -O2 -march=native {options.name}.c {test}.c -o {test} && ./{test}", soft_wrap=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
