"""The page about speed says what was recorded."""

from __future__ import annotations

import speed


def test_every_record_is_on_the_page() -> None:
    written = speed.page(speed.recorded(), gpu={})
    for name, record in speed.recorded().items():
        assert f"({name}.json)" in written
        assert all(part.title in written for part in record.parts)
        assert record.environment["processor"] in written and record.commit in written
    assert "No GPU was measured" in written


def test_what_was_found_on_a_gpu() -> None:
    rows = [{"batch": 128, "rate": 20123.4567}, {"batch": 256, "parts": {"input": 0.25}}]
    written = speed.page({}, {"machine": {"device_name": "GPU 9"}, "errors": {}, "training": rows})
    assert "GPU 9" in written and "No GPU was measured" not in written
    assert "| batch | rate | parts |" in written
    assert "| 128 | 20,123 | |" in written and "| 256 | | input 0.25 |" in written


def test_the_readmes_table_says_how_many_times_as_fast_alexnet_is() -> None:
    records = speed.recorded()
    (part,) = records["train-cpu"].parts
    peer = part.row("pytorch")
    assert peer
    row = next(line for line in speed.table(records).splitlines() if part.title in line)
    assert f"{peer.rate:.1f} (alexnet {part.ours.rate / peer.rate:.2f}×)" in row


def test_the_charts_fingerprint_is_that_of_its_figures() -> None:
    records = speed.recorded()
    fewer = {**records, "lrn-cpu": records["train-cpu"]}
    assert speed.fingerprint(records) == speed.fingerprint(speed.recorded())
    assert speed.fingerprint(records) != speed.fingerprint(fewer)
