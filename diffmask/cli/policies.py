"""List the policies that choose what is masked."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from diffmask.assemble.masking import ResolvedMasking

DESCRIPTION = """\
List the policies that `masking.policy` may name: what each masks, its paper, what it costs and needs, and its own
settings. Another policy is a change of that one line of a config; what it masks whole (`masking.units`) and how its
scores become weights (`masking.weighting`) follow from it."""

EPILOG = """\
examples:
  diffmask policies
  diffmask policies video
  diffmask preview papers/ --anchors anchors/ --policy salient-span --policy pmi --set ngrams=pmi/
  diffmask pretrain chemistry.yaml masking.policy=random-span output=runs/random-span"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("modality", nargs="?", help="those of one modality: text, video or video-text (default: all)")


def run(args: argparse.Namespace) -> None:
    """Print the tables."""
    from rich.console import Console

    from diffmask.assemble.modality import MODALITIES, modality_named

    console = Console()
    for name in [args.modality] if args.modality else MODALITIES:
        modality = modality_named(name)
        _print(modality.name, modality.masking, console)


def _print(modality: str, masking: "type[ResolvedMasking]", console: "Console") -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"For {modality}:", "bold"))
    if not masking.policies:
        console.print(Text(masking.naming))
        return
    table = Table("policy", "masks", "paper", "cost", "needs", "settings", show_lines=True)
    rows = {
        name: (recipe.line, recipe.paper, recipe.cost, recipe.needs, ", ".join(recipe.all_settings))
        for name, recipe in masking.policies.items()
    }
    if console.width < 100:
        for name, (line, paper, cost, needs, settings) in rows.items():
            console.print(Text(name, "bold"), Text(f"  {line}\n  {paper}\n  cost: {cost}\n  needs: {needs}"), sep="\n")
            console.print(Text(f"  settings: {settings or 'none of its own'}\n"))
        return
    for name, cells in rows.items():
        table.add_row(Text(name, "bold"), *map(Text, cells))
    console.print(table)
