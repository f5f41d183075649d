"""How loud the caller is, and who is too far away to be them."""

from pipeline.call.turn_taking.speaker_level import FAR_DB, FEWEST, LOUD_WINDOWS, SpeakerLevel


def spoken(*levels_db: float) -> SpeakerLevel:
    """A caller after turns of one second each."""
    level = SpeakerLevel()
    for level_db in levels_db:
        level.begin()
        for _ in range(30):
            level.speech(level_db)
        level.committed()
    return level


def sounds_far(level: SpeakerLevel, *levels_db: float) -> bool:
    """Whether the last of these windows is too quiet."""
    far = False
    for number, level_db in enumerate(levels_db):
        level.hear(level_db)
        far = level.too_far(sounding=number > 0)
    return far


def test_before_the_first_turn_everybody_may_be_the_caller() -> None:
    assert not sounds_far(SpeakerLevel(), -80.0)


def test_what_is_far_below_the_caller_is_too_far() -> None:
    assert sounds_far(spoken(-20.0), -20.0 - FAR_DB - 1)
    assert not sounds_far(spoken(-20.0), -20.0 - FAR_DB + 1)


def test_a_single_peak_does_not_bring_somebody_nearer() -> None:
    far, near = -40.0, -20.0
    assert sounds_far(spoken(near), near, *[far] * 3)
    assert not sounds_far(spoken(near), *[near] * LOUD_WINDOWS, *[far] * 3)


def test_the_softest_of_the_last_turns_counts_and_is_forgotten() -> None:
    assert spoken(-20.0, -35.0, -20.0).known == -35.0
    assert spoken(-35.0, -20.0, -20.0, -20.0).known == -20.0


def test_a_turn_without_words_teaches_nothing() -> None:
    level = spoken(-20.0)
    level.begin()
    for _ in range(30):
        level.speech(-50.0)
    level.committed()
    level.dropped()
    assert level.known == -20.0
    level.begin()
    level.dropped()
    assert level.known == -20.0


def test_a_click_teaches_nothing() -> None:
    level = spoken(-20.0)
    level.begin()
    for _ in range(FEWEST):
        level.speech(-50.0)
    level.committed()
    assert level.known == -20.0
