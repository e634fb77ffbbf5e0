"""Damaged files of other programs' weights, read in one process with little memory.

`python -m torture.weights_files FOUND.json`: each damage follows from its number alone. The file gets how
reading each of them ended: "read", the error that named it, or anything else, which is a fault; and the
seconds of processor it took.
"""

from __future__ import annotations

import json
import random
import re
import resource
import sys
import time
from pathlib import Path
from typing import Any

from exchange.checkpoints import checkpoint, one_column, two_columns
from exchange.conftest import card_of, narrow, network_of
from exchange.test_caffe import NUMBERS, encoded, layers_of
from torture.mutate import MUTATORS

from alexnet.base.errors import AlexNetError
from alexnet.conventions import CONVENTIONS
from alexnet.exchange import caffe, read_foreign
from alexnet.exchange.caffe_writer import write_caffe
from alexnet.formats import protobuf

CAFFE, PICKLES = 1000, 300
_MEMORY = 128 * 2**20  # bytes that reading may ask for beyond what the process has
_KNOWN = {**CONVENTIONS, **{name: narrow(name) for name in ("caffe", "caffenet", "original2012")}}
# Beginnings of what is followed by a length: fields of a .caffemodel; texts and memo numbers of a pickle.
_FIELDS = re.compile(rb"\xa2\x06|[\x0a\x12\x1a\x22\x2a\x3a]")
_TEXTS = re.compile(rb"[XTBU\x8a\x8e\x8c\x96jr]")


def originals(folder: Path) -> dict[str, list[bytes]]:
    """Whole files: both of Caffe's networks, as we write them and in its three encodings with their
    layers' numbers; checkpoints of two kinds in three protocols."""
    models = []
    for name in caffe.NAMES:
        network = network_of(narrow(name))
        models.append(write_caffe(network, card_of(), folder / name)[0].read_bytes())
        models += [encoded(layers_of(network), version, NUMBERS) for version in (0, 1, 2)]
    kernels = {"conv1": 4, "conv2": 4, "local3": 2, "local4": 2}
    small = CONVENTIONS["cifar11"].with_kernels(kernels)
    _KNOWN["cifar11"] = small
    layers = (
        one_column(network_of(small, classes=3)),
        two_columns(network_of(narrow("original2012"))),
    )
    pickled = [checkpoint(one, protocol) for one in layers for protocol in (0, 2, 4)]
    return {"caffemodel": models, "checkpoint": pickled}


def damaged(kind: str, number: int, wholes: list[bytes]) -> bytes:
    """File `number` of a kind."""
    chance = random.Random(f"{kind} {number}")
    data = chance.choice(wholes)
    for _ in range(chance.choice((1, 1, 2, 5))):
        way = chance.choice(("length", "length", *sorted(MUTATORS)))
        if way in ("other_body", "other_image"):
            way = "bits"
        data = _length(data, kind, chance) if way == "length" else MUTATORS[way](data, chance)
    return data


def _length(data: bytes, kind: str, chance: random.Random) -> bytes:
    """A length, or what looks like one, becomes another: huge, negative, a little off."""
    places = [found.end() for found in (_FIELDS if kind == "caffemodel" else _TEXTS).finditer(data)]
    if not places:
        return data
    first = chance.choice((places[:60], places))  # the first are those of the largest parts
    place = chance.choice(first)
    if kind == "caffemodel":
        value = chance.choice((0, 1, 2**31 - 1, 2**31, 2**32, 2**63, 2**64 - 1, 10**6, len(data)))
        return data[:place] + protobuf.varint(value) + data[place + 1 :]
    value = chance.choice((b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff", b"\0\0\0\x80", b"\0\0\0\1"))
    return data[:place] + value + data[place + 4 :]


def main(found: Path) -> None:
    """Read all of them and write how it went."""
    folder = found.parent
    wholes = originals(folder)
    rows: list[dict[str, Any]] = []
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, used + _MEMORY))
    for kind, count in (("caffemodel", CAFFE), ("checkpoint", PICKLES)):
        for number in range(count):
            path = folder / f"{number:04d}.{kind}"
            path.write_bytes(damaged(kind, number, wholes[kind]))
            start = time.process_time()
            try:
                read_foreign(path, known=_KNOWN)
                ended = "read"
            except AlexNetError as error:
                ended = type(error).__name__ if str(path) in str(error) else f"not named: {error}"
            except BaseException as error:  # whatever it is, it should not have come so far
                ended = f"escaped: {type(error).__name__} {error}"
            seconds = time.process_time() - start
            rows.append({"file": path.name, "ended": ended, "seconds": seconds})
            path.unlink()
    found.write_text(json.dumps(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
