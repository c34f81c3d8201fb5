"""python -m codegen CIRCUIT -o DIR: write a trained circuit as C to paste into another project. Nothing is trained for it."""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from codegen.artefact import artefact, check_prefix
from codegen.circuit import Circuit, CircuitFileError
from codegen.emit_c import ANY, LANES
from codegen.prove import ProverMissingError, prove_equal
from codegen.whole_file import write_whole

_UNDECIDED = "Whether the gates as printed equal those as learned was not decided"
_DIFFERENT = "The gates as printed differ from those as learned. That is a bug of Gatebench: please report it with the circuit"


def _prefix(name: str) -> str:
    try:
        return check_prefix(name)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit code: 0, 1 if a proof was asked for and failed, or 2 if there is nothing that can be done as asked."""
    parser = argparse.ArgumentParser(prog="python -m codegen", description=__doc__)
    parser.add_argument("circuit", type=Path, help="a circuit.safetensors, or the folder of a job that has one")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the C, made if it is missing")
    parser.add_argument(
        "--name", type=_prefix, default="circuit", help="prefix of the files and of every function (default: circuit)"
    )
    parser.add_argument(
        "--isa",
        choices=[ANY, *LANES],
        default=ANY,
        help=f"words to compute with; {ANY} (the default) takes the widest of what the text is compiled for",
    )
    parser.add_argument(
        "--prove", action="store_true", help="first prove that the gates as printed equal those as learned, on every input"
    )
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    path = options.circuit / "circuit.safetensors" if options.circuit.is_dir() else options.circuit
    try:
        made = artefact(Circuit.load(path), options.name, options.isa)
        if options.prove:
            proof = prove_equal(made.learned, made.netlist)
            if not proof.equal:
                print(f"error: {_UNDECIDED if proof.equal is None else _DIFFERENT}; nothing is written.", file=sys.stderr)
                return 1
            console.print(f"proven equal to the {made.learned.n_gates} gates before any pass, by {proof.how}")
        options.output.mkdir(parents=True, exist_ok=True)
        for name, text in made.files.items():
            write_whole(options.output / name, text.encode())
    except (CircuitFileError, ProverMissingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {options.output} cannot be written: {error}", file=sys.stderr)
        return 2
    console.print(f"{made.netlist.n_gates} gates, {made.operators} operations a word, {made.stack_bytes / 1024:.0f} KiB of stack")
    for name, text in made.files.items():
        console.print(f"{options.output / name}  {len(text) / 1024:,.0f} KiB", soft_wrap=True)
    test = f"{options.name}_test"
    console.print(
        f"try it: cd {options.output} && {made.compile} {options.name}.c {test}.c -o {test} && ./{test}", soft_wrap=True
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
