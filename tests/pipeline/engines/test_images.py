"""Images in the words of a message: as endpoints get them, and where only words are kept."""

from pipeline.engines.images import Image, content_parts, with_placeholders

CAT, DOG = "data:image/png;base64,Y2F0", "data:image/png;base64,ZG9n"


def test_images_stand_where_they_were_shown() -> None:
    words = "This is mine: and this? "
    shown = content_parts(words, (Image(CAT, 13), Image(DOG, len(words), "low")))
    assert shown == [
        {"type": "text", "text": "This is mine:"},
        {"type": "image_url", "image_url": {"url": CAT}},
        {"type": "text", "text": " and this? "},
        {"type": "image_url", "image_url": {"url": DOG, "detail": "low"}},
    ]


def test_of_an_image_in_front_of_the_words_no_empty_text_is_made() -> None:
    assert [part["type"] for part in content_parts("What is this?", (Image(CAT),))] == ["image_url", "text"]
    assert [part["type"] for part in content_parts("", (Image(CAT), Image(DOG)))] == ["image_url", "image_url"]


def test_where_only_words_are_kept_a_few_letters_stand_for_an_image() -> None:
    assert with_placeholders("What is this?", (Image(CAT),)) == "[image] What is this?"
    assert with_placeholders("Mine: and this?", (Image(CAT, 5), Image(DOG, 15))) == "Mine: [image] and this? [image]"
    assert with_placeholders("  as it is ", ()) == "  as it is "


def test_an_image_is_not_written_into_logs() -> None:
    assert CAT not in repr(Image(CAT))
