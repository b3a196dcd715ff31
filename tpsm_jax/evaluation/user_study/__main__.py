r"""Which of two methods do people prefer?

  python -m tpsm_jax.evaluation.user_study make A_DIR B_DIR --output study/
  python -m tpsm_jax.evaluation.user_study count answers/*.json

`make` writes study/index.html, one file to hand out. Each participant opens it, answers, and sends
back the file that it saves. `count` adds those up.
"""

from pathlib import Path

from tpsm_jax.cli import ArgumentParser, folder_to_write, local_path, run_script
from tpsm_jax.evaluation.user_study.page import make_page


def main() -> None:
    """Makes a study, or counts its answers."""
    parser = ArgumentParser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True, parser_class=ArgumentParser)
    make = commands.add_parser("make", description="Writes the page of a study.")
    make.add_argument("a", type=local_path, metavar="A_DIR", help="clips of one method")
    make.add_argument(
        "b", type=local_path, metavar="B_DIR", help="clips of the other, by the same names"
    )
    make.add_argument("--output", type=folder_to_write, required=True, help="folder for index.html")
    make.add_argument(
        "--names", nargs=2, metavar=("A", "B"), help="names of the methods, for the count"
    )
    count = commands.add_parser("count", description="Adds up answers.")
    count.add_argument(
        "answers", type=local_path, nargs="+", metavar="JSON", help="what the page saved"
    )
    args = parser.parse_args()
    if args.command == "make":
        names = tuple(args.names) if args.names else None
        page, pairs = make_page(args.a, args.b, args.output, names)
        print(f"wrote {page}: {pairs} pairs, {page.stat().st_size / 1e6:.1f} MB")
    else:
        print_count(args.answers)


def print_count(paths: list[Path]) -> None:
    """Prints the preference shares of both methods."""
    from tpsm_jax.evaluation.user_study.counting import CONFIDENCE, count_answers

    count = count_answers(paths)
    print(f"{count.participants} participants, intervals of {CONFIDENCE:.0%} (Wilson)")
    for question, (share, low, high, answers) in count.preferences.items():
        print(f"{question}, of {answers} answers")
        print(f"  {share:6.1%}  [{low:.1%}, {high:.1%}]  {count.a}")
        print(f"  {1 - share:6.1%}  [{1 - high:.1%}, {1 - low:.1%}]  {count.b}")
    left = count.left
    print(f"the clip on the left was chosen in {left.share:.1%}  [{left.low:.1%}, {left.high:.1%}]")


if __name__ == "__main__":
    run_script(main)
