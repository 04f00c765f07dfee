"""Sums of the stats of several hosts."""

import os
import random

import pytest
from msgspec.structs import replace

from llmsim.stats import Block, Outcome, Recorder, Snapshot, read_totals, render_metrics, snapshot
from llmsim.stats.hosts import FORMER, Publication, Published, add_hosts, decode, encode, fold
from llmsim.stats.sums import Part, add_totals, close_totals
from llmsim.stats.totals import Totals
from llmsim.stats.verdict import Verdict

NOW = 5000.0
IDLE = Verdict("idle", "nothing measured", None)
LATE = Verdict("late", "simulator-limited: p99 lateness 90 ms, add workers", 90.0)


def _count(block: Block, slot: int, requests: int, seed: int) -> None:
    """Count requests of all kinds in a slot."""
    rng = random.Random(seed)
    recorder = Recorder(block, slot)
    for number in range(requests):
        at = NOW - rng.randrange(1, 50)
        endpoint = rng.randrange(2)
        recorder.began(endpoint, at)
        row = recorder.accepted(endpoint, f"model-{rng.randrange(4)}", streaming=True, prompt_tokens=5)
        recorder.first_token(row, rng.random())
        recorder.gap(row, rng.random() / 10, 9)
        recorder.late(rng.random() / 100, 10)
        recorder.sent(row, 10, at)
        if number % 5:
            recorder.ended(endpoint, rng.choice(list(Outcome)), rng.random(), at, row)


def _block(slots: int = 1) -> Block:
    block = Block.private(endpoints=("completions", "messages"), slots=slots, now=NOW - 100, wall=1.75e9)
    for _ in range(slots):
        block.set_pid(block.claim(os.getpid()), os.getpid())
    return block


def _host(requests: int, seed: int) -> Totals:
    block = _block()
    _count(block, 0, requests, seed)
    return read_totals(block, NOW)


def _published(totals: Totals, host: str, *, age: float = 0.0, is_gone: bool = False) -> Published:
    return Published(host, age, is_gone, decode(encode(Publication(totals, IDLE))))


def _add(*published: Published) -> Snapshot:
    return add_hosts(published, read=NOW, wall=1.75e9).stats


def test_the_sums_of_hosts_are_those_of_one_with_all_workers() -> None:
    """MACH-5.2: Three hosts of a worker have the sums of one host of three workers: every counter, and histograms bucket by bucket."""
    together = _block(3)
    for slot in range(3):
        _count(together, slot, 40 + slot, slot)
    whole = read_totals(together, NOW)

    sums = add_totals([Part(_host(40 + seed, seed)) for seed in range(3)], NOW)

    for name in (
        *("endpoints", "models", "counts", "histograms", "endpoint_histograms", "model_histograms", "recent"),
        "started_at",
    ):
        assert getattr(sums, name) == getattr(whole, name), name
    assert sums.started == pytest.approx(whole.started)


def test_a_publication_is_small_and_survives_its_way() -> None:
    """MACH-5.1: What a host publishes is read as it was written, in some kilobytes."""
    publication = Publication(_host(100, 1), LATE, is_draining=True)

    data = encode(publication)

    assert decode(data) == publication
    assert len(data) < 10_000


@pytest.mark.parametrize("data", [b"", b"other layout" * 5, encode(Publication(_host(1, 1), IDLE))[:-9]])
def test_the_publication_of_another_version_is_shown_and_not_added(data: bytes) -> None:
    """MACH-5.5: A host whose counters are others is `unknown`, and not in the sums."""
    stats = _add(Published("new", 0.0, False, decode(data)), _published(_host(3, 1), "a"))

    assert [(host.host, host.state) for host in stats.hosts] == [("a", "up"), ("new", "unknown")]
    assert stats.total_requests == 3


def test_what_was_in_flight_on_a_host_that_is_gone_is_aborted() -> None:
    """MACH-5.3: A host that is gone keeps its totals, marked; its open requests count as aborted, and its gauges as 0."""
    lost = _host(50, 1)
    open_requests = sum(row.in_flight for row in lost.endpoints.values())
    aborted = lost.outcomes[Outcome.ABORTED]

    stats = _add(_published(lost, "a", age=6.0, is_gone=True), _published(_host(5, 2), "b"))

    first, second = stats.hosts
    assert open_requests == 10
    assert (first.state, first.requests, first.active, first.workers) == ("gone", 50, 0, 0)
    assert first.aborted == aborted + open_requests
    assert (second.state, second.active) == ("up", 1)
    assert (stats.total_requests, stats.active_requests) == (55, 1)
    assert [worker.host for worker in stats.workers] == ["b"]


def test_a_host_that_was_started_again_adds_to_its_former_totals() -> None:
    """MACH-5.4: A host has one row, with the sum of all its starts."""
    stats = _add(_published(_host(50, 1), "a", age=60.0, is_gone=True), _published(_host(7, 2), "a"))

    (row,) = stats.hosts
    assert (row.host, row.state, row.starts, row.requests, row.active) == ("a", "up", 2, 57, 2)
    assert stats.total_requests == 57


def test_folding_changes_no_sum() -> None:
    """MACH-5.4: Instances that are folded into one leave the sums as they were."""
    gone = [_published(_host(9 + seed, seed), f"h{seed}", age=99.0, is_gone=True) for seed in range(4)]
    living = _published(_host(8, 9), "z")
    before = _add(*gone, living)
    once = fold([each.found for each in gone[:2] if each.found is not None])
    twice = fold([once, *(each.found for each in gone[2:] if each.found is not None)])

    after = _add(Published("", 0.0, True, twice), living)

    assert [host.host for host in after.hosts] == ["z", FORMER]
    assert replace(after, hosts=()) == replace(before, hosts=())


def test_the_verdict_is_the_worst_with_its_host() -> None:
    """MACH-5.6: The verdict of all hosts is the worst of those that live, and names its host."""
    bad = Publication(_host(1, 1), LATE)
    fine = _published(_host(1, 2), "a")

    stats = _add(fine, Published("b", 0.0, False, bad))
    survived = _add(fine, Published("b", 9.0, True, bad))

    assert stats.verdict.state == "late"
    assert stats.verdict.text == f"{LATE.text} (the worst of 2 hosts: b)"
    assert survived.verdict.state == "idle"


def test_seconds_are_those_before_the_reading() -> None:
    """MACH-5.2: The last 60 seconds of a host that was read a while ago are moved by that."""
    block = _block()
    Recorder(block, 0).began(0, NOW - 1)

    stats = _add(_published(read_totals(block, NOW), "a", age=3.0))

    assert stats.last_60_seconds.requests[56] == 1
    assert sum(stats.last_60_seconds.requests) == 1


def test_no_hosts_are_no_requests() -> None:
    """MACH-5.2: Sums of nothing are zeros, not an error."""
    assert _add().total_requests == 0
    assert fold([]).totals == close_totals(add_totals([], 0.0))


def test_the_stats_survive_the_way_through_json() -> None:
    """MACH-5.6: What `--all` reads is what was written; the stats of one host have no names of hosts."""
    import orjson

    stats = _add(_published(_host(5, 1), "a"))

    assert Snapshot.from_json(orjson.dumps(stats.as_dict())) == stats
    alone = snapshot(_block(), NOW, wall=1.75e9).as_dict()
    assert not {"host", "hosts"} & alone.keys()
    assert all("host" not in worker for worker in alone["workers"])


def test_metrics_have_a_label_for_hosts() -> None:
    """MACH-5.6: Figures by worker and by host have the label `host`."""
    fleet = add_hosts(
        [_published(_host(5, 1), 'a"b'), _published(_host(2, 2), "c", is_gone=True)], read=NOW, wall=1e9
    )

    page = render_metrics(
        fleet.totals, version="1", is_draining=False, vllm_names=False, state="late", hosts=fleet.stats.hosts
    ).decode()

    assert 'llmsim_host_up{host="a\\"b"} 1\n' in page
    assert 'llmsim_host_up{host="c"} 0\n' in page
    assert 'llmsim_host_requests_started_total{host="c"} 2\n' in page
    assert 'llmsim_verdict{state="late"} 1\n' in page
