import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.audit.characters import damage, language


@pytest.mark.parametrize(
    "text", ["Müller", "don’t “quote” it", "Ärger – naïve café", "日本語", "€5"]
)
@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_utf8_read_as_another_encoding_is_found_and_repaired(text, codec):
    try:
        broken = text.encode().decode(codec)
    except UnicodeDecodeError:
        pytest.skip("not readable so")
    why, repaired = damage(broken)
    assert "UTF-8 that was read as" in why
    assert repaired == text


@pytest.mark.parametrize(
    ("text", "words"),
    [("caf\ufffd", "a lost character (U+FFFD) at character 4"), ("a\x00b", "control character")],
)
def test_lost_and_control_characters(text, words):
    assert words in damage(text)[0]


@pytest.mark.parametrize(
    "text", ["SÃO PAULO", "Ça va, à côté", "Âge", "two\nlines\tand tabs", "ÃÃ"]
)
def test_good_text_is_left_alone(text):
    assert damage(text) is None


@given(st.text(st.characters(max_codepoint=0x17F, categories=["L", "N", "P", "Z"])))
def test_a_repair_is_what_was_read_wrongly(text):
    found = damage(text)
    if found is not None and "UTF-8" in found[0]:
        assert len(found[1]) < len(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("the parcel was not in the box", "English"),
        ("das Paket ist nicht für mich", "German"),
        ("le colis est dans la boîte", "French"),
        ("посылка не пришла", "Cyrillic"),
        ("荷物がまだ届きません", "Japanese"),
        ("John Smith", None),
        ("", None),
    ],
)
def test_language(text, name):
    assert language(text) == name
