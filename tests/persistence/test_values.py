"""Texts, ids, cursors and delays: what strangers send is stored as it can be, or refused."""

import random
import uuid

import pytest

from persistence.backoff import Backoff
from persistence.errors import BadCursorError, InvalidTextError, TextTooLongError
from persistence.ids import message_uuid, parse_uuid
from persistence.postgres.cursors import make_cursor, read_cursor
from persistence.text import check_id, clean_json, clean_text


def test_nul_and_lone_surrogates_become_replacement_characters() -> None:
    assert clean_text("a\x00b\ud800c\udfffd é 漢 🎧") == "a\ufffdb\ufffdc\ufffdd é 漢 🎧"


def test_a_megabyte_of_text_is_refused_with_the_lengths() -> None:
    with pytest.raises(TextTooLongError, match=r"1000000 characters; at most 100000"):
        clean_text("x" * 1_000_000)


@pytest.mark.parametrize("value", ["", "a\x00b", "a\nb", "\ud800", "x" * 257])
def test_ids_that_cannot_be_kept_apart_are_refused(value: str) -> None:
    with pytest.raises(InvalidTextError, match="user_id"):
        check_id(value, "user_id")


@pytest.mark.parametrize("value", ["'; DROP TABLE messages; --", "*", "a:b?[c]", "\u00e9 \U0001f3a7", "{x}"])
def test_ids_with_meaning_elsewhere_are_ids(value: str) -> None:
    assert check_id(value, "user_id") == value


@pytest.mark.parametrize("value", [{"x": float("nan")}, {"x": object()}, {"x": "y" * 70_000}])
def test_what_is_no_storable_json_is_refused(value: dict[str, object]) -> None:
    with pytest.raises(InvalidTextError, match="metadata"):
        clean_json(value, "metadata")


def test_json_is_cleaned_in_keys_and_depths() -> None:
    assert clean_json({"a\x00": [{"b": "\ud800"}]}, "metadata") == {"a\ufffd": [{"b": "\ufffd"}]}


def test_item_ids_stand_for_uuids() -> None:
    known = uuid.uuid4()
    assert parse_uuid(f"item_{known.hex}") == parse_uuid(str(known)) == parse_uuid(known.hex) == known
    assert parse_uuid("item_1") is None


def test_made_up_ids_count_within_their_conversation() -> None:
    one, other = uuid.uuid4(), uuid.uuid4()
    assert message_uuid(one, "item_1") == message_uuid(one, "item_1") != message_uuid(other, "item_1")


def test_a_cursor_leads_back_to_its_place() -> None:
    assert read_cursor("list/a", make_cursor("list/a", "2026", 5), (str, int)) == ("2026", 5)


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(BadCursorError):
        read_cursor("list/b", make_cursor("list/a", 5), (int,))


def test_no_damaged_cursor_gets_through() -> None:
    rng = random.Random(1)
    good = make_cursor("list/a", 5)
    for _ in range(300):
        bad = list(good)
        bad[rng.randrange(len(bad))] = rng.choice("AZaz09-_=+/ é\x00")
        if "".join(bad) != good:
            with pytest.raises(BadCursorError):
                read_cursor("list/a", "".join(bad), (int,))
    for bad_text in ("", "=", "null", "W10", "a" * 10_000):
        with pytest.raises(BadCursorError):
            read_cursor("list/a", bad_text, (int,))


def test_delays_double_up_to_their_bound_with_jitter_and_start_over() -> None:
    backoff = Backoff(0.1, 2.0, random.Random(5))
    delays = [backoff.failed() for _ in range(8)]
    for delay, full in zip(delays, (0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0), strict=True):
        assert full / 2 <= delay <= full
    backoff.succeeded()
    assert backoff.failed() <= 0.1
