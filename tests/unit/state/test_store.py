"""The shared store: what it finds, lists and evicts, in one process."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.driving import drive
from support.fakes import FakeClock
from support.records import RecordStore, RedisRecords

from llmsim.config import StoreSettings
from llmsim.state.ports import Record
from llmsim.state.record_format import RECORD_BYTES

KINDS = ("response", "chat.completion")

# Any character there is, halves of surrogate pairs and all.
ANYTHING = st.text(st.characters(), max_size=20)

# What could be taken for the form in which labels are kept.
TRICKY = st.text('ab":,{}\\\n\u00e9', max_size=4)

Opener = Callable[..., RecordStore]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["file", "redis"])
def opener(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> Iterator[Opener]:
    """Makes stores of each backend, as so many processes would, with the limits given."""
    settings = request.getfixturevalue("redis_server").settings() if request.param == "redis" else None
    with contextlib.ExitStack() as stack:

        def open_one(**limits: int) -> RecordStore:
            bounds = StoreSettings(**limits)
            file = tmp_path / "1.store"
            store = RedisRecords(settings, bounds, clock) if settings else RecordStore(file, bounds, clock)
            stack.callback(store.close)
            return store

        yield open_one


@pytest.fixture
def store(opener: Opener) -> RecordStore:
    """With the default limits."""
    return opener()


def record(
    name: str,
    *,
    kind: str = "response",
    created: float = 0.0,
    model: str = "gpt-5",
    size: int = 0,
    **metadata: str,
) -> Record:
    """Make a record; its data are `size` bytes."""
    return Record(id=name, kind=kind, created=created, model=model, metadata=metadata, data=b"x" * size)


def bytes_of(one: Record) -> int:
    """Return the size that a record without metadata counts."""
    return RECORD_BYTES + len((one.id + one.kind + one.model).encode()) + len("{}") + len(one.data)


def ids(store: RecordStore, kind: str = "response", **terms: Any) -> list[str]:
    """List what is there."""
    return [one.id for one in store.page(kind, limit=1000, **terms)[0]]


def test_what_was_put_is_found(store: RecordStore) -> None:
    """STATE-1.1: A record is found as it was put."""
    one = Record(
        id="resp_1", kind="response", created=1.5, model="gpt-5", metadata={"team": "a"}, data=b"\x00\xff"
    )

    assert store.put(one) == 0
    assert store.get("response", "resp_1") == one


def test_what_was_not_put_is_not_found(store: RecordStore) -> None:
    """STATE-1.1: There is nothing under another id."""
    store.put(record("a"))

    assert store.get("response", "b") is None
    assert store.get("response", "A") is None


def test_others_do_not_find_a_record(store: RecordStore) -> None:
    """ACC-2.3: A record is found, listed, replaced and deleted by its owner only."""
    store.put(msgspec.structs.replace(record("a"), owner="one"))
    store.put(msgspec.structs.replace(record("b"), owner="two"))
    store.put(record("c"))
    version = drive(store.port.get("response", "a", "one")).version

    for owner in ("", "two", "ONE"):
        assert drive(store.port.get("response", "a", owner)) is None
        assert not drive(store.port.delete("response", "a", owner))
        stolen = msgspec.structs.replace(record("a"), owner=owner)
        assert drive(store.port.replace(stolen, version=version)) is None
        with pytest.raises(KeyError):
            store.page("response", limit=9, after="a", owner=owner)
    assert [ids(store, owner=owner) for owner in ("one", "two", "")] == [["a"], ["b"], ["c"]]
    assert drive(store.port.delete("response", "a", "one"))


@given(name=ANYTHING, kind=ANYTHING, model=ANYTHING, metadata=st.dictionaries(ANYTHING, ANYTHING))
def test_any_text_comes_back(
    store_of_all: RecordStore, name: str, kind: str, model: str, metadata: dict[str, str]
) -> None:
    """STATE-1.1: Ids, kinds, models and labels may be of any characters."""
    one = Record(
        id=name, kind=kind, created=1.0, model=model, metadata=metadata, data=name.encode("utf-8", "replace")
    )
    store_of_all.put(one)

    assert store_of_all.get(kind, name) == one
    assert ids(store_of_all, kind, metadata=metadata, model=model).count(name) == 1
    assert store_of_all.delete(kind, name)


@pytest.fixture(scope="module", params=["file", "redis"])
def store_of_all(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RecordStore]:
    """One of each backend for all examples of a property."""
    if request.param == "file":
        store = RecordStore(tmp_path_factory.mktemp("store") / "1.store", StoreSettings())
    else:
        store = RedisRecords(request.getfixturevalue("redis_server").settings(), StoreSettings())
    yield store
    store.close()


@pytest.mark.parametrize(
    "name", ["", "\0", "\0a", "a\0", "'; DROP TABLE record", "%_", "\ud800", "x" * 100_000]
)
def test_odd_ids_are_ids(store: RecordStore, name: str) -> None:
    """STATE-1.1: An id may be empty, long, or hold what means something elsewhere."""
    one = record(name, size=10)

    assert store.get("response", name) is None
    store.put(one)
    store.put(record("other"))
    assert store.get("response", name) == one
    assert ids(store, after=name) == ["other"]
    assert store.edit("response", name, lambda one: one) == 0
    assert store.delete("response", name)
    assert ids(store) == ["other"]


def test_kinds_do_not_see_each_other(store: RecordStore) -> None:
    """STATE-1.2: Under another kind a record is not found, changed, listed, a place in a list, or deleted."""
    store.put(record("a"))

    assert store.get("chat.completion", "a") is None
    assert store.edit("chat.completion", "a", pytest.fail) is None
    assert not store.delete("chat.completion", "a")
    assert ids(store, "chat.completion") == []
    with pytest.raises(KeyError):
        store.page("chat.completion", limit=1, after="a")
    assert ids(store) == ["a"]


def test_a_put_replaces(store: RecordStore) -> None:
    """STATE-1.3: The record of that id goes, which is no eviction, and the new one comes last in every order."""
    for name in "abc":
        store.put(record(name))
    evicted = store.put(record("a", size=5))

    assert evicted == 0
    assert ids(store) == ["b", "c", "a"]
    assert store.get("response", "a") == record("a", size=5)
    assert store.totals()[0] == 3


def test_a_put_replaces_what_is_of_another_kind(store: RecordStore) -> None:
    """STATE-1.3: An id belongs to one record, of whatever kind."""
    store.put(record("a"))
    store.put(record("a", kind="chat.completion"))

    assert store.get("response", "a") is None
    assert store.get("chat.completion", "a") == record("a", kind="chat.completion")


def test_an_edit_is_kept(store: RecordStore) -> None:
    """STATE-1.4: A record is from then on what the edit made of it."""
    store.put(record("a", team="x", size=3))
    changed = Record(id="a", kind="response", created=7.0, model="o3", metadata={"team": "y"}, data=b"longer")

    assert store.edit("response", "a", lambda one: changed) == 0
    assert store.get("response", "a") == changed
    assert ids(store, model="o3", metadata={"team": "y"}) == ["a"]
    assert ids(store, model="gpt-5") == ids(store, metadata={"team": "x"}) == []
    store.totals()


def test_an_edit_is_given_what_is_there(store: RecordStore) -> None:
    """STATE-1.4: An edit begins with the record as the last one left it."""
    store.put(record("a"))
    for letter in (b"x", b"y", b"z"):
        store.edit(
            "response", "a", lambda one, letter=letter: msgspec.structs.replace(one, data=one.data + letter)
        )

    assert store.get("response", "a") == msgspec.structs.replace(record("a"), data=b"xyz")


def test_an_edit_keeps_the_place(opener: Opener) -> None:
    """STATE-1.4: An edited record stays where it is, in lists and in the order of eviction."""
    store = opener(max_records=3)
    for name in "abc":
        store.put(record(name))
    store.edit("response", "a", lambda one: msgspec.structs.replace(one, data=b"new"))

    assert ids(store) == ["a", "b", "c"]
    assert store.put(record("d")) == 1
    assert ids(store) == ["b", "c", "d"]


def test_an_edit_can_move_in_time(store: RecordStore) -> None:
    """STATE-1.4: A list has a record where its creation time, as edited, puts it."""
    for name in "abc":
        store.put(record(name, created=1.0))
    store.edit("response", "a", lambda one: msgspec.structs.replace(one, created=2.0))

    assert ids(store) == ["b", "c", "a"]


def test_what_is_not_there_is_not_edited(store: RecordStore) -> None:
    """STATE-1.4: Nothing is asked to change what is not there."""
    assert store.edit("response", "a", pytest.fail) is None


def test_only_what_was_read_is_replaced(opener: Opener) -> None:
    """STATE-1.5: A record that has changed since it was read, or was put again, or is gone, is left as it is."""
    store, other = opener().port, opener().port
    drive(store.put(record("a")))
    read = drive(store.get("response", "a"))
    assert read is not None
    assert drive(other.replace(msgspec.structs.replace(read, data=b"first"), version=read.version)) == 0
    assert drive(store.replace(msgspec.structs.replace(read, data=b"late"), version=read.version)) is None
    read = drive(store.get("response", "a"))
    assert read is not None
    assert read.data == b"first"
    drive(other.put(record("a")))
    assert drive(store.replace(read, version=read.version)) is None
    drive(other.delete("response", "a"))

    assert drive(store.replace(read, version=read.version)) is None
    assert drive(store.get("response", "a")) is None


@given(steps=st.lists(st.sampled_from(["put", "replace", "delete"]), max_size=20))
def test_versions_are_never_used_again(store_of_all: RecordStore, steps: list[str]) -> None:
    """STATE-1.5: No write of a record, however it came about, has the version of an earlier one."""
    store, versions = store_of_all.port, []
    for step in steps:
        found = drive(store.get("versioned", "v"))
        if step == "put":
            drive(store.put(record("v", kind="versioned")))
        elif found is not None and step == "replace":
            assert drive(store.replace(found, version=found.version)) == 0
        elif found is not None:
            drive(store.delete("versioned", "v"))
        written = drive(store.get("versioned", "v"))
        if written is not None and (found is None or step != "delete"):
            versions.append(written.version)
    drive(store.delete("versioned", "v"))

    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("field", ["id", "kind"])
def test_a_replacement_is_the_same_record(opener: Opener, field: str) -> None:
    """STATE-1.5: A replacement of another id or kind changes nothing, for other processes as well."""
    store, other = opener(), opener()
    store.put(record("a"))
    read = drive(store.port.get("response", "a"))
    assert read is not None
    renamed = msgspec.structs.replace(read, **{field: "b"})

    assert drive(store.port.replace(renamed, version=read.version)) is None
    assert store.get("response", "a") == record("a")
    assert store.totals()[0] == 1
    assert other.put(record("c")) == 0


def test_what_was_deleted_is_gone(store: RecordStore) -> None:
    """STATE-1.6: A deleted record is not there, and deleting it again says so."""
    store.put(record("a"))

    assert store.delete("response", "a")
    assert store.get("response", "a") is None
    assert not store.delete("response", "a")
    assert store.totals() == (0, 0)


def test_the_oldest_go_first(opener: Opener) -> None:
    """STATE-2.2: With room for three, the fourth takes the place of the first that was put, whenever it was created."""
    store = opener(max_records=3)
    evicted = [store.put(record(str(number), created=-number)) for number in range(6)]

    assert evicted == [0, 0, 0, 1, 1, 1]
    assert ids(store) == ["5", "4", "3"]


def test_all_kinds_share_the_bounds(opener: Opener) -> None:
    """STATE-2.1: A record of one kind makes room for one of another."""
    store = opener(max_records=2)
    for number in range(4):
        store.put(record(str(number), kind=KINDS[number % 2]))

    assert [ids(store, kind) for kind in KINDS] == [["2"], ["3"]]


def test_bytes_are_a_bound(opener: Opener) -> None:
    """STATE-2.1, STATE-2.2: Texts, data and 256 bytes a record count; at the bound it is held, beyond it the oldest go."""
    sizes = [bytes_of(record(name, size=size)) for name, size in (("a", 100), ("b", 0), ("c", 50))]
    store = opener(max_bytes=sum(sizes))
    for name, size in (("a", 100), ("b", 0), ("c", 50)):
        assert store.put(record(name, size=size)) == 0
    assert store.totals() == (3, sum(sizes))

    assert store.put(record("d")) == 1
    assert ids(store) == ["b", "c", "d"]


def test_metadata_and_ids_count(opener: Opener) -> None:
    """STATE-2.1: Labels, ids and model names are no way around the bound."""
    store = opener(max_bytes=10_000)
    for one in (record("x" * 9000), record("b", model="m" * 9000), record("c", team="t" * 9000)):
        store.put(one)
        assert store.get("response", one.id) == one

    assert store.totals()[0] == 1


def test_room_is_made_for_several(opener: Opener) -> None:
    """STATE-2.2: A full store evicts one more than a 64th of its records, 17 at most, and then none for as many puts."""
    small, large = opener(max_records=640), opener(max_records=2000)
    evicted = [small.put(record(str(number))) for number in range(640 + 33)]
    assert evicted == [0] * 640 + [11, *[0] * 10] * 3
    assert small.totals()[0] == 640
    evicted = [large.put(record(str(number))) for number in range(1000, 2360 + 34)]

    assert [evicted[:1360], evicted[1360:]] == [[0] * 1360, [17, *[0] * 16] * 2]


def test_a_large_record_takes_the_room_of_many(opener: Opener) -> None:
    """STATE-2.2: As many go as must, and no more than a 64th of the bytes on top."""
    store = opener(max_bytes=100_000)
    for number in range(100):
        store.put(record(f"{number:03}", size=700))
    one = bytes_of(record("000", size=700))
    before = store.totals()
    large = record("large", size=50_000)
    evicted = store.put(large)
    freed = before[1] + bytes_of(large) - store.totals()[1]

    assert evicted * one == freed
    assert store.totals()[1] <= 100_000
    assert 100_000 - store.totals()[1] < 100_000 // 64 + one
    assert store.get("response", "large") == large


def test_what_was_just_put_stays(opener: Opener) -> None:
    """STATE-2.3: The record that makes the others go is there, if it is all that is."""
    store = opener(max_bytes=1000)
    large = record("b", size=1000 - bytes_of(record("b")))
    store.put(record("a"))

    assert store.put(large) == 1
    assert ids(store) == ["b"]
    assert store.totals() == (1, 1000)


def test_what_was_just_edited_stays(opener: Opener) -> None:
    """STATE-2.3, STATE-2.7: A record that grows is not among those that are evicted for it; their number is returned."""
    store = opener(max_bytes=1300)
    for name in "abc":
        store.put(record(name, size=100))
    evicted = store.edit("response", "a", lambda one: msgspec.structs.replace(one, data=b"y" * 900))

    assert evicted == 2
    assert ids(store) == ["a"]
    assert store.get("response", "a") == msgspec.structs.replace(record("a"), data=b"y" * 900)
    assert store.totals()[1] <= 1300
    assert store.put(record("d")) == 1
    assert ids(store) == ["d"]
    assert store.put(record("e")) == 0


def test_what_is_too_large_is_not_kept(opener: Opener) -> None:
    """STATE-2.4: A record that no eviction could make room for goes itself, and is reported as evicted; the others stay."""
    store = opener(max_bytes=1000)
    store.put(record("a"))
    store.put(record("b"))

    assert store.put(record("c", size=1000)) == 1
    assert ids(store) == ["a", "b"]


def test_what_is_too_large_replaces_nevertheless(opener: Opener) -> None:
    """STATE-2.4: What had its id is outdated, and goes; an edit that makes a record too large takes it away."""
    store = opener(max_bytes=1000)
    store.put(record("a"))
    store.put(record("b"))

    assert store.put(record("a", size=1000)) == 1
    assert ids(store) == ["b"]
    assert store.edit("response", "b", lambda one: msgspec.structs.replace(one, data=b"y" * 1000)) == 1
    assert ids(store) == []
    assert store.put(record("c")) == 0
    assert store.totals()[0] == 1


def test_a_store_of_nothing_keeps_nothing(opener: Opener) -> None:
    """STATE-2.4: With room for no record, each goes at once."""
    store = opener(max_records=0)

    assert [store.put(record(name)) for name in "ab"] == [1, 1]
    assert ids(store) == []


def test_a_record_expires(opener: Opener, clock: FakeClock) -> None:
    """STATE-2.5: From `max_age_secs` after its put a record is not there, for any method."""
    store = opener(max_age_secs=100)
    store.put(record("a", created=5e9))
    clock.now += 99.9
    assert store.get("response", "a") is not None
    clock.now += 0.1

    assert store.get("response", "a") is None
    assert store.edit("response", "a", pytest.fail) is None
    assert not store.delete("response", "a")
    assert ids(store) == []
    with pytest.raises(KeyError):
        store.page("response", limit=1, before="a")


def test_an_edit_does_not_make_it_younger(opener: Opener, clock: FakeClock) -> None:
    """STATE-2.5: A record's age is counted from its put, whatever an edit says of it; a put begins anew."""
    store = opener(max_age_secs=100)
    store.put(record("a"))
    store.put(record("b"))
    clock.now += 60
    store.edit("response", "a", lambda one: msgspec.structs.replace(one, created=clock.now))
    store.put(record("b"))
    clock.now += 60

    assert ids(store) == ["b"]


def test_expired_records_leave_the_file(opener: Opener, clock: FakeClock) -> None:
    """STATE-2.6: Puts take them away, some at a time, from a minute after they last looked; each is reported as evicted."""
    store = opener(max_age_secs=100)
    for number in range(40):
        store.put(record(str(number)))
    clock.now += 100
    evicted = [store.put(record(f"later {number}")) for number in range(5)]

    assert evicted == [16, 16, 8, 0, 0]
    assert store.totals()[0] == 5


def test_a_process_keeps_to_its_own_bounds(opener: Opener) -> None:
    """STATE-2.8: After a reload with smaller bounds the first put brings the store within them."""
    before, after = opener(max_records=100), opener(max_records=10)
    for number in range(100):
        before.put(record(str(number)))

    assert after.put(record("new")) == 91
    assert len(ids(before)) == 10
    assert before.put(record("old")) == 0
    assert after.put(record("newer")) == 2


def test_lists_are_in_order_of_creation(store: RecordStore) -> None:
    """STATE-3.1: Those created first come first, and among equal times those that were put first."""
    for name, created in (("a", 2.0), ("b", 1.0), ("c", 2.0), ("d", 1.5), ("e", 1.0)):
        store.put(record(name, created=created))

    assert ids(store) == ["b", "e", "d", "a", "c"]
    assert ids(store, ascending=False) == ["c", "a", "d", "e", "b"]


def test_a_page_reports_whether_more_follow(store: RecordStore) -> None:
    """STATE-3.2: A page has at most `limit` records, and says whether there are others after it."""
    for name in "abc":
        store.put(record(name))

    assert [store.page("response", limit=limit)[1] for limit in (1, 2, 3, 4)] == [True, True, False, False]
    assert [len(store.page("response", limit=limit)[0]) for limit in (1, 2, 3, 4)] == [1, 2, 3, 3]


def test_pages_between_ids(store: RecordStore) -> None:
    """STATE-3.3: A page follows `after`, ends before `before`; with `before` alone it is the one right before it."""
    for name in "abcdef":
        store.put(record(name))

    def page(**terms: Any) -> tuple[str, bool]:
        found, more = store.page("response", limit=2, **terms)
        return "".join(one.id for one in found), more

    assert page(after="b") == ("cd", True)
    assert page(after="d") == ("ef", False)
    assert page(after="f") == ("", False)
    assert page(before="e") == ("cd", True)
    assert page(before="c") == ("ab", False)
    assert page(before="a") == ("", False)
    assert page(after="a", before="e") == ("bc", True)
    assert page(after="a", before="d") == ("bc", False)
    assert page(after="d", before="a") == ("", False)
    assert page(after="e", ascending=False) == ("dc", True)
    assert page(before="b", ascending=False) == ("dc", True)
    assert page(after="f", before="c", ascending=False) == ("ed", False)


@pytest.mark.parametrize("end", ["after", "before"])
def test_a_page_begins_at_something(store: RecordStore, end: str) -> None:
    """STATE-3.4: An id that is not there is no place in a list."""
    store.put(record("a"))
    with pytest.raises(KeyError, match="gone"):
        store.page("response", limit=2, **{end: "gone"})


def test_lists_by_model_and_labels(store: RecordStore) -> None:
    """STATE-3.5: A list holds those of a model that have all the labels asked for; other labels do not matter."""
    store.put(record("a", model="o3", team="x", stage="dev"))
    store.put(record("b", model="o3", team="x"))
    store.put(record("c", model="gpt-5", team="x"))
    store.put(record("d", model="o3", team="xy"))
    store.put(record("e", model="o3"))

    assert ids(store, metadata={"team": "x"}) == ["a", "b", "c"]
    assert ids(store, model="o3", metadata={"team": "x"}) == ["a", "b"]
    assert ids(store, metadata={"stage": "dev", "team": "x"}) == ["a"]
    assert ids(store, metadata={"team": "x"}, after="d", ascending=False) == ["c", "b", "a"]
    assert ids(store, metadata={"x": "team"}) == ids(store, model="O3") == []


@given(
    labels=st.lists(st.dictionaries(TRICKY, TRICKY, max_size=3), max_size=5),
    wanted=st.dictionaries(TRICKY, TRICKY, max_size=2),
)
def test_labels_match_whole(
    store_of_all: RecordStore, labels: list[dict[str, str]], wanted: Mapping[str, str]
) -> None:
    """STATE-3.5: A filter finds exactly the records with those labels, whatever characters are in them."""
    for number, metadata in enumerate(labels):
        store_of_all.put(
            Record(id=str(number), kind="labelled", created=0.0, model="", metadata=metadata, data=b"")
        )
    found = ids(store_of_all, "labelled", metadata=wanted)
    for number in range(len(labels)):
        store_of_all.delete("labelled", str(number))

    assert found == [str(n) for n, metadata in enumerate(labels) if wanted.items() <= metadata.items()]


@given(created=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5), ascending=st.booleans())
def test_walking_pages_shows_everything_once(
    store_of_all: RecordStore, created: list[int], limit: int, ascending: bool
) -> None:
    """STATE-3.6: From page to page, forwards by `after` or backwards by `before`, each record comes once, in order."""
    for number, moment in enumerate(created):
        store_of_all.put(record(str(number), kind="walked", created=moment))
    whole = ids(store_of_all, "walked", ascending=ascending)
    forwards: list[str] = []
    more = bool(whole)
    while more:
        after = forwards[-1] if forwards else None
        page, more = store_of_all.page("walked", limit=limit, after=after, ascending=ascending)
        forwards += [one.id for one in page]
    backwards = whole[-1:]
    more = bool(whole)
    while more:
        page, more = store_of_all.page("walked", limit=limit, before=backwards[0], ascending=ascending)
        backwards = [one.id for one in page] + backwards
    for number in range(len(created)):
        store_of_all.delete("walked", str(number))

    assert forwards == backwards == whole
    assert sorted(whole, key=int) == [str(number) for number in range(len(created))]
