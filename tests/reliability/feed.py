"""The feed: what comes out of Kafka, however badly it comes, is indexed, buried or refused.

A case is a stream of good records and poison over some partitions, read by the real consumer,
decoder, batcher and engine, with one scenario of trouble: crashes, fetches that fail, batches
that cannot be read, a log that was cut, made anew, or emptied by retention. In the end every
document, every dead letter and every halted partition must be the plain reading's.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from consumers.source import DataGapError, PoisonError, ReplacedError, TruncatedError
from tests.reliability.feed_kafka import Cluster, Sent
from tests.reliability.feed_letters import Letters
from tests.reliability.feed_poison import POISON
from tests.reliability.feed_stream import Read, Stream, all_poison, make_stream
from tests.reliability.feed_trouble import make_unreadable
from tests.reliability.feed_world import TOPIC, Life, World, search_all
from tests.reliability.program import Program, Run, Tally, Violation
from tests.reliability.sim_loop import DeadlockError, TooManyStepsError

HEAVY_SHARE = 0.001
POISON_SHARE = 0.4


@dataclass(slots=True)
class Ended:
    """How a partition must have ended."""

    offsets: list[int]
    """Whose records are applied."""
    cause: type[Exception] | None = None
    """Why it is halted, None where it is not."""
    first: int | None = None
    """Where its error says that the trouble is."""
    gaps: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Durable:
    """What a crash leaves outside of the index."""

    letters: set[tuple[int, int]] = field(default_factory=set)
    """Places of the records."""
    committed: dict[int, int] = field(default_factory=dict)


class Case:
    def __init__(self, name: str, scenario: str | None = None) -> None:
        self.name = name
        self.rng = rng = random.Random(f"feed {name}")
        number = int(name.rpartition(".")[2])
        self.scenario = scenario or list(SCENARIOS)[number % len(SCENARIOS)]
        self.is_lossy = self.scenario == "skipped gap"
        self.poisons = all_poison(rng, number, HEAVY_SHARE)
        self.streams = [self._stream(n) for n in range(rng.randint(2, 4))]
        self.letters = Letters(rng, rng.choice([0, 0, 4]))
        self.cluster = Cluster(
            TOPIC,
            [stream.log for stream in self.streams],
            rng,
            replay_share=rng.choice([0.0, 0.3]),
            n_errors=rng.choice([0, 0, 2]),
        )
        self.world = World(rng, self.cluster, self.letters)

    def _stream(self, number: int) -> Stream:
        n_records = self.rng.randint(20, 60)
        return make_stream(self.rng, number, n_records, self.poisons, int(n_records * POISON_SHARE))

    @property
    def n_records(self) -> int:
        return sum(len(stream.log.records) for stream in self.streams)

    def run(self) -> None:
        """Raises: Violation."""
        try:
            SCENARIOS[self.scenario](self)
            if self.world.loop.errors:
                self.fail(f"nobody took {self.world.loop.errors[0]!r}")
        except (DeadlockError, TooManyStepsError) as error:
            self.fail(f"the feed hangs: {error}")
        finally:
            self.world.close()

    def fail(self, reason: str) -> None:
        raise Violation(self.name, f"{self.scenario}: {reason}")

    def require(self, is_so: object, reason: str) -> None:
        if not is_so:
            self.fail(reason)

    # --- what scenarios are made of ----------------------------------------------------------
    def add(self, stream: Stream, n_records: int) -> None:
        """Let producers send some more good records."""
        for _ in range(n_records):
            key = b"late%d-%d" % (stream.number, self.rng.randrange(5))
            stream.log.add(Sent(key, b'{"n": %d}' % stream.log.end))

    def live_until_quiet(self, on_data_gap: str = "stop") -> Life:
        """Start, and go on until everything is read or halted."""
        life = self.world.start(on_data_gap)
        self.wait_quiet(life)
        return life

    def wait_quiet(self, life: Life) -> None:
        if not self.world.run_until(life.is_quiet):
            index = life.index
            at = {n: s.watermark.next_offset for n, s in index.shards.items()} if index else {}
            failure = index.failure if index else None
            self.fail(f"not quiet in time: {at}, {failure!r}, {index and index.problems()}")

    def wait(self, seconds: float) -> None:
        end = self.world.loop.time() + seconds
        self.world.run_until(lambda: self.world.loop.time() >= end)

    def flush(self, life: Life) -> None:
        assert life.index is not None
        life.do(life.index.flush)

    def crash(self, life: Life) -> Durable:
        """Kill the life; return what is there by then."""
        life.crash()
        committed = {tp.partition: offset for tp, offset in self.cluster.committed.items()}
        return Durable(set(self.letters.taken), committed)

    # --- what must hold ----------------------------------------------------------------------
    def check_stored(self, life: Life, before: Durable) -> None:
        """Check a life that was opened after a crash: no checkpoint is past a letter that was not
        durable, nor behind what the group was told."""
        for number, stored in life.stored.items():
            if stored is None:
                stored = 0
            stream = self.streams[number]
            below = [offset for offset in stream.log.records if offset < stored]
            for offset in stream.read(TOPIC, below).letters:
                self.require(
                    (number, offset) in before.letters,
                    f"the checkpoint {stored} passes {number}:{offset}, which has no letter",
                )
            told = before.committed.get(number, 0)
            self.require(told <= stored, f"{number}: committed {told}, durable is {stored}")

    def check_end(self, life: Life, ends: Iterable[Ended] | None = None) -> None:
        """Compare documents, letters, gaps and halts with the plain reading."""
        assert life.index is not None
        expected = [*ends] if ends is not None else [Ended([*s.log.records]) for s in self.streams]
        reads = [
            stream.read(TOPIC, sorted(end.offsets))
            for stream, end in zip(self.streams, expected, strict=True)
        ]
        self._check_documents(life, reads)
        self._check_letters(reads)
        for number, end in enumerate(expected):
            self._check_halt(life, number, end)
        self.require(life.index.failure is None, f"the source ended: {life.index.failure!r}")
        has_trouble = any(end.cause is not None for end in expected)
        self.require(bool(life.index.problems()) is has_trouble, "problems are not told")

    def _check_documents(self, life: Life, reads: list[Read]) -> None:
        assert life.index is not None
        wanted: dict[bytes, Any] = {}
        for read in reads:
            wanted |= read.documents
        names = {
            sent.key if sent.key is not None else f"{TOPIC}-{stream.number}-{offset}".encode()
            for stream in self.streams
            for offset, sent in stream.log.records.items()
        }
        keys = sorted(key for key in names if _is_name(key))
        n_docs, sources = search_all(life.index, keys)
        for key, source in zip(keys, sources, strict=True):
            found: Any = source
            if source is not None and isinstance(wanted.get(key), dict):
                found = orjson.loads(source)
            if found != wanted.get(key):
                self.fail(f"[{key!r}] is {_short(found)}, should be {_short(wanted.get(key))}")
        self.require(n_docs == len(wanted), f"{n_docs} documents, should be {len(wanted)}")

    def _check_letters(self, reads: list[Read]) -> None:
        for number, read in enumerate(reads):
            for offset, letter in read.letters.items():
                place = (number, offset)
                taken = self.letters.taken.get(place, [])
                if not taken:
                    self.fail(f"{place} should be a dead letter: {letter}")
                self._check_count(place, len(taken))
                sent, said = self.streams[number].log.records[offset], dict(taken[0].headers)
                told = (said["tailrace.error.type"] or b"").decode()
                reason = (said["tailrace.error.reason"] or b"").decode()
                if told != letter.type or letter.reason not in reason:
                    self.fail(f"letter of {place} says {told}: {reason}, should say {letter}")
                kept = None if letter.is_omitted else sent.value
                if (taken[0].key, taken[0].value) != (sent.key, kept):
                    self.fail(f"letter of {place} is not the record as it came")
        if not self.is_lossy:
            wanted = {(n, offset) for n, read in enumerate(reads) for offset in read.letters}
            more = set(self.letters.taken) - wanted
            self.require(not more, f"letters that should not be: {sorted(more)[:3]}")

    def _check_count(self, place: tuple[int, int], n_letters: int) -> None:
        """A letter comes once, and once more for each time that its record was read again."""
        number, offset = place
        openings = [at for life in self.world.lives for at in life.openings[number]]
        most = sum(at <= offset for at in openings) + self.letters.n_ambiguous
        self.require(n_letters <= most, f"{place} has {n_letters} letters, at most {most} are due")

    def _check_halt(self, life: Life, number: int, end: Ended) -> None:
        assert life.index is not None
        shard = life.index.shards[number]
        found = shard.halted
        if end.cause is None or found is None or not isinstance(found, end.cause):
            wanted = end.cause.__name__ if end.cause else "None"
            if found is not None or end.cause is not None:
                self.fail(f"partition {number} is halted by {found!r}, should be by {wanted}")
        elif end.first is not None and getattr(found, "first", None) != end.first:
            self.fail(f"partition {number} is halted by [{found}], should be at {end.first}")
        gaps = [(gap.first, gap.end) for gap in shard.engine.gaps]
        self.require(gaps == end.gaps, f"partition {number} has gaps {gaps}, not {end.gaps}")


def _is_name(key: bytes) -> bool:
    try:
        return bool(key.decode())
    except UnicodeDecodeError:
        return False


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}... ({len(text)})"


# --- scenarios ---------------------------------------------------------------------------------


def plain(case: Case) -> None:
    """Nothing happens but poison, holes, replays and failing letters; then a restart."""
    life = case.live_until_quiet()
    case.flush(life)
    case.check_end(life)
    before = case.crash(life)
    life = case.live_until_quiet()
    case.check_stored(life, before)
    case.check_end(life)
    ends = {n: stream.log.end for n, stream in enumerate(case.streams)}
    case.require(life.stored == ends, f"stored {life.stored}, the ends were {ends}")


def crashes(case: Case) -> None:
    """The process dies at any moment, some times over."""
    before = Durable()
    for _ in range(case.rng.randint(1, 4)):
        life = case.world.start()
        case.wait(case.rng.choice([0.1, 0.5, 1.5, 4.0]))
        case.check_stored(life, before)
        before = case.crash(life)
        case.add(case.rng.choice(case.streams), case.rng.randint(0, 5))
    life = case.live_until_quiet()
    case.check_stored(life, before)
    case.flush(life)
    case.check_end(life)


def group_ahead(case: Case) -> None:
    """The group has committed what this server's disk does not hold: another disk, a backup."""
    life = case.world.start()
    case.wait(case.rng.choice([0.5, 1.5]))
    case.crash(life)
    for tp in case.cluster.tps():
        case.cluster.committed[tp] = case.cluster.log(tp).end
    life = case.live_until_quiet()
    case.flush(life)
    case.check_end(life)


def flaky(case: Case) -> None:
    """Batches that cannot be read some times, and then can."""
    for stream in case.streams:
        bad = make_unreadable(case.rng, case.rng.randint(1, 2))
        stream.log.unreadable[case.rng.choice(stream.log.offsets)] = bad
    life = case.live_until_quiet()
    case.flush(life)
    case.check_end(life)


def rebalances(case: Case) -> None:
    """The same, while partitions are taken away and given back again and again."""
    for stream in case.streams:
        bad = make_unreadable(case.rng, case.rng.randint(1, 2))
        stream.log.unreadable[case.rng.choice(stream.log.offsets)] = bad
    case.cluster.n_rebalances = case.rng.randint(1, 6)
    life = case.live_until_quiet()
    case.cluster.n_rebalances = 0
    case.wait(10.0)
    case.wait_quiet(life)
    case.flush(life)
    case.check_end(life)


def unreadable(case: Case) -> None:
    """A batch that can never be read, or inflates without end: its partition halts before it."""
    stream = case.rng.choice(case.streams)
    offset = case.rng.choice(stream.log.offsets)
    stream.log.unreadable[offset] = make_unreadable(case.rng, None)
    life = case.live_until_quiet()
    case.flush(life)
    before = [each for each in stream.log.offsets if each < offset]
    case.check_end(life, _ends(case, {stream.number: Ended(before, PoisonError)}))
    halted = life.index and life.index.shards[stream.number].halted
    first = getattr(halted, "first", None)
    last = before[-1] if before else -1
    case.require(first is not None and last < first <= offset, f"halted at {first}, not {offset}")


def another_topic_by_id(case: Case) -> None:
    """The topic was made anew with the very same records: its id alone tells."""
    life = case.live_until_quiet()
    case.flush(life)
    if case.rng.random() < 0.5:
        case.crash(life)
        case.cluster.topic_id = "second"
        seen = {stream.number: [*stream.log.records] for stream in case.streams}
        for stream in case.streams:
            case.add(stream, 5)
        life = case.live_until_quiet()
    else:
        case.cluster.topic_id = "second"
        seen = {stream.number: [*stream.log.records] for stream in case.streams}
        case.wait(2 * life.options.probe_interval_s + 1)
        for stream in case.streams:
            case.add(stream, 5)
        case.wait_quiet(life)
    case.check_end(life, [Ended(offsets, ReplacedError) for offsets in seen.values()])


def another_topic_by_record(case: Case) -> None:
    """The topic was made anew, and the broker tells no ids: the last record tells."""
    case.cluster.topic_id = None
    life = case.live_until_quiet()
    case.flush(life)
    case.crash(life)
    seen = {stream.number: [*stream.log.records] for stream in case.streams}
    for stream in case.streams:
        last = stream.log.offsets[-1]
        sent = stream.log.records[last]
        other = Sent(sent.key, b'{"n": 77}', sent.headers, sent.timestamp_ms)
        stream.log.records[last] = other
        case.add(stream, 5)
    life = case.live_until_quiet()
    for stream in case.streams:
        halted = life.index and life.index.shards[stream.number].halted
        case.require(isinstance(halted, ReplacedError), f"{stream.number}: {halted!r}")
        stored, durable = life.stored[stream.number], seen[stream.number]
        case.require(stored is not None and stored > durable[-1], "the checkpoint moved")


def gap_stop(case: Case) -> None:
    """Retention passes the checkpoint while the server is away, or while it runs."""
    _gap(case, "stop")


def gap_skip(case: Case) -> None:
    """The same, and the operator has chosen to go on behind the gap."""
    _gap(case, "skip")


def _gap(case: Case, on_data_gap: str) -> None:
    stream = case.rng.choice(case.streams)
    life = case.live_until_quiet(on_data_gap)
    case.flush(life)
    is_running = case.rng.random() < 0.5
    if not is_running:
        case.crash(life)
    stored, seen = stream.log.end, [*stream.log.records]
    case.add(stream, 10)
    start = stored + case.rng.randint(1, 9)
    stream.log.delete_before(start)
    if is_running:
        case.wait(1.0)
        case.wait_quiet(life)
    else:
        life = case.live_until_quiet(on_data_gap)
    if on_data_gap == "stop":
        end = Ended(seen, DataGapError, first=stored)
        case.check_end(life, _ends(case, {stream.number: end}))
        return
    left = [offset for offset in stream.log.records if offset < stored or offset >= start]
    end = Ended(left, gaps=[(stored, start)])
    case.flush(life)
    case.check_end(life, _ends(case, {stream.number: end}))
    case.crash(life)
    case.check_end(case.live_until_quiet(on_data_gap), _ends(case, {stream.number: end}))


def truncated(case: Case) -> None:
    """The broker has lost what it had acknowledged; nothing may be skipped then."""
    stream = case.rng.choice(case.streams)
    life = case.live_until_quiet("skip")
    case.flush(life)
    is_running = case.rng.random() < 0.5
    if not is_running:
        case.crash(life)
    seen = [*stream.log.records]
    stream.log.cut(case.rng.randrange(stream.log.start, stream.log.end))
    if is_running:
        case.wait(1.0)
        case.wait_quiet(life)
    else:
        life = case.live_until_quiet("skip")
    case.check_end(life, _ends(case, {stream.number: Ended(seen, TruncatedError)}))


def _ends(case: Case, special: dict[int, Ended]) -> list[Ended]:
    return [special.get(s.number, Ended([*s.log.records])) for s in case.streams]


SCENARIOS = {
    "plain": plain,
    "crashes": crashes,
    "group ahead": group_ahead,
    "flaky": flaky,
    "rebalances": rebalances,
    "unreadable": unreadable,
    "another topic by id": another_topic_by_id,
    "another topic by record": another_topic_by_record,
    "gap": gap_stop,
    "skipped gap": gap_skip,
    "truncated": truncated,
}


# --- the program -------------------------------------------------------------------------------


def run(asked: Run) -> Tally:
    """Go through cases until `size` records were read."""
    tally = Tally()
    logging.disable(logging.CRITICAL)
    kinds: set[str] = set()
    number = asked.part
    try:
        while tally.n_cases < asked.size:
            case = Case(f"{asked.seed}.{number}")
            case.run()
            tally.n_cases += case.n_records
            tally.note("streams")
            tally.note("poison", sum(len(stream.poison) for stream in case.streams))
            kinds |= {p.name for stream in case.streams for p in stream.poison.values()}
            number += asked.n_parts
    finally:
        logging.disable(logging.NOTSET)
    if asked.size >= PROGRAM.fast and len(kinds) < len(POISON):
        raise Violation(case.name, f"only {len(kinds)} kinds of poison of {len(POISON)}")
    tally.notes["kinds of poison"] = str(len(kinds))
    return tally


def replay(name: str) -> None:
    Case(name).run()


PROGRAM = Program("feed", "records", fast=2_000, deep=100_000, run=run, replay=replay)
