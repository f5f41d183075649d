"""Three hundred written things and what must be said for them."""

from pipeline.text.spoken import speak, speakable
from tests.pipeline.text.reading_table import table

COUNT = 300


def test_the_table_of_english_is_read_right() -> None:
    pairs = list(table(13, COUNT))
    wrong = [(written, said, speakable(written)) for written, said in pairs if speakable(written) != said]
    print(f"read right: {COUNT - len(wrong)} of {COUNT}", *wrong, sep="\n")
    assert len(wrong) <= 0.02 * COUNT, wrong


def test_what_is_read_knows_where_it_was_written() -> None:
    for written, _ in table(14, COUNT):
        spoken = speak(written)
        assert len(spoken.spans) == len(spoken.text.split())
        starts = [span.start for span in spoken.spans]
        assert starts == sorted(starts)
        assert all(0 <= span.start < span.end <= len(written) for span in spoken.spans)
