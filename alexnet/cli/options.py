"""Options that several verbs have."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Device = Annotated[str, typer.Option(help="auto: a GPU where there is one; cpu, cuda, cuda:1 ...")]
Download = Annotated[bool, typer.Option("--download", help="Fetch a named set from its publisher.")]


def take_device(asked: str) -> str:
    """The device of `--device`, checked; a GPU that `auto` took is named on stderr."""
    from alexnet.network.devices import AUTO, choose_device, describe_device

    device = choose_device(asked)
    if asked == AUTO and device != "cpu":
        print(f"device  {describe_device(device)}", file=sys.stderr)
    return device
