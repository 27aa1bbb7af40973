"""Sentences from catalogues and files: what is taken, what is left, and that no part knows another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.zoo.translation.catalogue import write_mo

from warren.errors import InvalidValue
from warren.zoo.translation import messages
from warren.zoo.translation.corpus import Catalogues, Files, Parts, parted, read_parallel
from warren.zoo.translation.messages import catalogues, gathered, read_catalogue, sentences


def plain(text: str) -> str:
    """Letters and blanks alone, in small letters: written apart from the project's own key."""
    return " ".join("".join(one if one.isalpha() else " " for one in text.lower()).split())


# -- catalogues -------------------------------------------------------------------------------------------------------


def test_a_catalogue_gives_its_messages(tmp_path: Path) -> None:
    path = write_mo(
        tmp_path / "x.mo",
        {
            "Open the file": "Öffne die Datei",
            "menu\x04Close the file": "Schließe die Datei",  # with a context
            "%d file was found\0%d files were found": "%d Datei gefunden\0%d Dateien gefunden",  # a plural
            "not translated at all": "",
        },
    )
    assert set(read_catalogue(path)) == {
        ("Open the file", "Öffne die Datei"),
        ("Close the file", "Schließe die Datei"),
        ("%d file was found", "%d Datei gefunden"),
    }


def test_a_catalogue_in_another_encoding_is_read_as_it_says(tmp_path: Path) -> None:
    path = write_mo(tmp_path / "x.mo", {"a key": "ein Schlüssel"}, charset="iso-8859-1")
    assert list(read_catalogue(path)) == [("a key", "ein Schlüssel")]


def test_damaged_catalogues_give_nothing(tmp_path: Path) -> None:
    whole = write_mo(tmp_path / "whole.mo", {"a key": "ein Schlüssel"})
    wrong = write_mo(tmp_path / "wrong.mo", {"a key": "ein Schlüssel"}, charset="iso-8859-1", said="utf-8")
    unknown = write_mo(tmp_path / "unknown.mo", {"a key": "ein Schluss"}, said="klingon")
    short, none = tmp_path / "short.mo", tmp_path / "none.mo"
    short.write_bytes(whole.read_bytes()[:40])
    none.write_bytes(b"")
    for path in (wrong, unknown, short, none, tmp_path / "absent.mo"):
        assert list(read_catalogue(path)) == []


def test_catalogues_are_found_in_the_system_and_in_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    system, packages = tmp_path / "locale", tmp_path / "site-packages"
    written = [
        write_mo(system / "de" / "LC_MESSAGES" / "a.mo", {}),
        write_mo(packages / "one" / "locale" / "de" / "LC_MESSAGES" / "b.mo", {}),
        write_mo(packages / "one" / "two" / "three" / "locale" / "de" / "LC_MESSAGES" / "c.mo", {}),
    ]
    write_mo(system / "fr" / "LC_MESSAGES" / "d.mo", {})
    (system / "de" / "LC_MESSAGES" / "again.mo").symlink_to(written[0])
    monkeypatch.setattr(messages, "SYSTEM", (str(system), str(tmp_path / "absent")))
    monkeypatch.setattr(messages.sysconfig, "get_path", lambda name: str(packages))
    assert catalogues("de") == sorted(path.resolve() for path in written)


@pytest.mark.parametrize(
    ("source", "target", "plain_source", "plain_target"),
    [
        ("Cannot open file %s: %m", "Kann Datei %s nicht öffnen: %m",
         "Cannot open file □: □", "Kann Datei □ nicht öffnen: □"),
        ("line %2$d of %1$s is %<PRIu64> long", "Zeile %2$d von %1$s ist %3d lang",
         "line □ of □ is □ long", "Zeile □ von □ ist □ lang"),
        ("{count:,} of %(all)s are at %.2f", "{count:,} von %(all)s sind bei %.2f",
         "□ of □ are at □", "□ von □ sind bei □"),
        ("it is 100 %% sure", "es ist 100 %% sicher", "it is 100 % sure", "es ist 100 % sicher"),
        ("it is 100 % sure", "es ist 100 % sicher", "it is 100 % sure", "es ist 100 % sicher"),
        ("Save _file as it is", "Datei so _speichern", "Save file as it is", "Datei so speichern"),
        ("Save the &File now", "Da&tei jetzt speichern", "Save the File now", "Datei jetzt speichern"),
        ("the my_name is unset", "das my_name ist leer", "the my_name is unset", "das my_name ist leer"),
        ("don't open `this' file", "öffne »diese« Datei nicht",
         "don't open \"this\" file", "öffne \"diese\" Datei nicht"),
        (" two   blanks\there... ", "zwei  Zeichen stehen hier…", "two blanks here…", "zwei Zeichen stehen hier…"),
    ],
)  # fmt: skip
def test_messages_become_sentences(source: str, target: str, plain_source: str, plain_target: str) -> None:
    assert sentences((source, target)) == (plain_source, plain_target)


@pytest.mark.parametrize(
    "pair",
    [
        ("Cannot open %s: %m", "Kann %s nicht öffnen: %m"),  # two words beside the places
        ("several lines\nare here now", "mehrere Zeilen\nstehen hier"),
        ("not translated at all", "Not translated at ALL."),
        ("three words here", "zwei Worte"),
        ("the place is %s here", "die Stelle fehlt hier"),
    ],
)
def test_what_is_of_no_use_is_left_out(pair: tuple[str, str]) -> None:
    assert sentences(pair) is None


def test_of_several_translations_the_most_frequent_is_kept() -> None:
    pairs = [("Open it!", "Auf!"), ("open it", "Öffnen"), ("Open it!", "Auf!"), ("Close it", "Zu"), ("close it", "Ab")]
    assert gathered(pairs) == gathered(pairs[::-1]) == [("Close it", "Zu"), ("Open it!", "Auf!")]


# -- parts ------------------------------------------------------------------------------------------------------------


def alike(count: int) -> dict[str, str]:
    """Messages of which many differ in case and signs alone, on either side."""
    verbs, things = ("open", "close", "read", "write", "move"), ("file", "disk", "folder", "page", "link", "key")
    found = {}
    for i in range(count):
        name = f"{verbs[i % 5]} the {things[i % 6]} {chr(97 + i % 23)}{chr(97 + i % 19)}"
        meant = f"{verbs[i % 5]}e Ding {chr(97 + i % 23)}"  # many sources have one translation
        found[(name, name.upper(), f"{name}...", f"{name}:")[i % 4]] = (meant, f"{meant}!", meant.title())[i % 3]
    return found


def sides(parts: Parts, side: int) -> list[set[str]]:
    return [{plain(pair[side]) for pair in part} for part in (parts.train, parts.validation, parts.test)]


def test_no_sentence_is_in_two_parts(tmp_path: Path) -> None:
    write_mo(tmp_path / "x.mo", alike(4000))
    parts = Catalogues(folder=str(tmp_path), minimum=100).parts(0)
    assert min(len(parts.train), len(parts.validation), len(parts.test)) > 5
    for side in (0, 1):
        train, validation, test = sides(parts, side)
        assert not train & validation and not train & test and not validation & test


def test_the_parts_do_not_hang_on_the_order_of_the_files(tmp_path: Path) -> None:
    everything = sorted(alike(3000).items())
    for name, chosen in (("one", everything), ("two", everything[::-1])):
        write_mo(tmp_path / name / "a.mo", dict(chosen[:1700]))
        write_mo(tmp_path / name / "b.mo", dict(chosen[1700:]))
    one, two = (Catalogues(folder=str(tmp_path / name), minimum=100) for name in ("one", "two"))
    assert one.parts(0) == two.parts(0)
    assert one.parts(0).test != one.parts(1).test


def test_a_part_is_a_fair_sample() -> None:
    names = [chr(97 + i // 26) + chr(97 + i % 26) for i in range(676)]
    parts = parted([(f"word {name}", f"Wort {name}") for name in names], 0)
    assert len(parts.train) + len(parts.validation) + len(parts.test) == 676
    # 6 % of 676 are 40.6, with a standard deviation of 6.2.
    assert all(20 < len(part) < 65 for part in (parts.validation, parts.test))
    # The first ones are not those that come first in the alphabet.
    assert list(parts.train) != sorted(parts.train) and {pair[0][5] for pair in parts.train[:100]} > set("amz")


def test_too_few_sentences_are_said_in_one_line(tmp_path: Path) -> None:
    write_mo(tmp_path / "x.mo", {"Open the old file": "Öffne die alte Datei"})
    with pytest.raises(InvalidValue, match=r"1 sentences were .* 8000 are needed; install .*--source") as error:
        Catalogues(folder=str(tmp_path)).parts(0)
    assert "\n" not in str(error.value)


# -- files ------------------------------------------------------------------------------------------------------------


def written(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("one\ntwo\n", "eins\n", r"a.en has 2 lines and .*a.de has 1"),
        ("", "", "have no line that has text"),
        ("\n\n", "eins\n\n", "have no line that has text"),
        (b"one\ntw\xe4o\n", "eins\nzwei\n", r"a.en is not UTF-8 at byte 6; convert it"),
    ],
)
def test_nonsense_is_said_in_one_line(tmp_path: Path, source: str | bytes, target: str, said: str) -> None:
    with pytest.raises(InvalidValue, match=said) as error:
        read_parallel(written(tmp_path, "a.en", source), written(tmp_path, "a.de", target))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match=r"absent cannot be read: No such file"):
        read_parallel(str(tmp_path / "absent"), str(tmp_path / "absent"))


def test_lines_are_kept_together(tmp_path: Path) -> None:
    # A line separator and a form feed part no sentence, an empty line leaves the pairs below it together.
    source = written(tmp_path, "a.en", "one\u2028more\r\n\nthree\x0c3\n")
    target = written(tmp_path, "a.de", "eins\nzwei\ndrei")
    assert read_parallel(source, target) == [("one\u2028more", "eins"), ("three\x0c3", "drei")]


def test_files_of_their_own_are_the_parts_and_their_sentences_are_not_trained_on(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    source = written(tmp_path, "a.en", "".join(f"sentence {one}\n" for one in letters))
    target = written(tmp_path, "a.de", "".join(f"Satz {one}\n" for one in letters))
    files = Files(
        source=source,
        target=target,
        valid_source=written(tmp_path, "v.en", "Sentence A!\n"),
        valid_target=written(tmp_path, "v.de", "ein anderer\n"),
        test_source=written(tmp_path, "t.en", "another one\n"),
        test_target=written(tmp_path, "t.de", "satz b\n"),
    )
    parts = files.parts(0)
    assert parts.validation == (("Sentence A!", "ein anderer"),) and parts.test == (("another one", "satz b"),)
    assert sorted(parts.train) == [(f"sentence {one}", f"Satz {one}") for one in letters[2:]]


def lines(folder: Path, name: str, texts: list[str]) -> str:
    return written(folder, name, "".join(f"{text}\n" for text in texts))


def own_text(folder: Path) -> dict[str, str]:
    """400 sentences, of which each has a translation of its own."""
    names = [f"{chr(97 + i // 20)}{chr(97 + i % 20)}" for i in range(400)]
    return {
        "source": lines(folder, "a.en", [f"sentence {name}" for name in names]),
        "target": lines(folder, "a.de", [f"Satz {name}" for name in names]),
    }


def disjoint(parts: Parts) -> bool:
    """No letters of a source are a source's in another part, nor those of a translation."""
    found = [sides(parts, side) for side in (0, 1)]
    return not any(
        one & two for train, valid, test in found for one, two in ((train, valid), (train, test), (valid, test))
    )


@pytest.mark.parametrize("given", ["valid", "test"])
def test_a_share_that_is_held_out_has_nothing_of_the_files_that_were_given(tmp_path: Path, given: str) -> None:
    text = own_text(tmp_path)
    whole = Files(**text).parts(0)
    assert disjoint(whole)
    # A file with sentences of every part: half of each, by the source in one and by the translation in the other.
    some = [pair for part in (whole.train, whole.validation, whole.test) for pair in part[::2]]
    by_source, by_target = [a.upper() for a, _ in some[::2]], [b.title() for _, b in some[1::2]]
    more = {
        f"{given}_source": lines(tmp_path, "g.en", by_source + ["nobody's"] * len(by_target)),
        f"{given}_target": lines(tmp_path, "g.de", ["niemands"] * len(by_source) + by_target),
    }
    parts = Files(**text, **more).parts(0)
    as_given, share, was = (
        (parts.validation, parts.test, whole.test)
        if given == "valid"
        else (parts.test, parts.validation, whole.validation)
    )
    assert len(as_given) == len(some) and disjoint(parts)
    assert share == tuple(pair for pair in was if pair not in some)


def test_of_two_files_that_share_sentences_the_validation_part_loses_them(tmp_path: Path) -> None:
    text = own_text(tmp_path)
    test = [("one by one", "eins nach dem andern"), ("sentence aa", "Satz aa"), ("one by one", "eins nach dem andern")]
    valid = [("One by one!", "anders"), ("anders", "Satz AA."), ("all at once", "alle zugleich")]
    more = {
        f"{name}_{side}": lines(tmp_path, f"{name}.{side}", [pair[place] for pair in pairs])
        for name, pairs in (("valid", valid), ("test", test))
        for place, side in enumerate(("source", "target"))
    }
    parts = Files(**text, **more).parts(0)
    assert parts.test == tuple(test)  # as it was published, with what is there twice
    assert parts.validation == (("all at once", "alle zugleich"),)
    assert disjoint(parts) and len(parts.train) == 399
    same = {**more, "valid_source": more["test_source"], "valid_target": more["test_target"]}
    with pytest.raises(
        InvalidValue, match=r"the validation part that no other part has; give .* --valid-source"
    ) as error:
        Files(**text, **same).parts(0)
    assert "\n" not in str(error.value)


def test_files_that_know_all_of_the_text_are_refused(tmp_path: Path) -> None:
    text = own_text(tmp_path)
    with pytest.raises(InvalidValue, match="no sentence is left for the test part that no other part has; give longer"):
        Files(**text, valid_source=text["source"], valid_target=text["target"]).parts(0)


def test_of_a_text_only_repeats_and_lines_without_letters_are_left_out(tmp_path: Path) -> None:
    names = [f"{chr(97 + i // 20)}{chr(97 + i % 20)}" for i in range(400)]
    pairs = [(f"it is {name}", f"es ist {name}") for name in names]
    # The same letters and another translation, the same pair once more, and two that have no letters.
    more = [(f"It is {name}!", f"Das ist {name}!") for name in names]
    every = [*pairs, *more, *pairs[:50], ("10:30", "10.30"), ("see", "-> 3")]
    source, target = (lines(tmp_path, f"a.{side}", [pair[side] for pair in every]) for side in (0, 1))
    parts = Files(source=source, target=target).parts(0)
    assert disjoint(parts)
    kept = [*parts.train, *parts.validation, *parts.test]
    assert len(set(kept)) == len(kept) and set(kept) <= {*pairs, *more}
    # Two translations of one source are in one part, or one of them is left out: 87 of 400 are expected.
    assert len({plain(pair[0]) for pair in kept}) == 400 and len(kept) > 650
    sources = [plain(pair[0]) for pair in parts.train]
    assert len(sources) > 1.5 * len(set(sources))


def test_half_of_a_pair_of_files_is_refused(tmp_path: Path) -> None:
    source = written(tmp_path, "a.en", "one\n")
    with pytest.raises(InvalidValue, match="valid_target=None: one is missing; give --valid-source"):
        Files(source=source, target=source, valid_source=source).parts(0)


def test_files_that_are_too_short_are_refused(tmp_path: Path) -> None:
    source, target = written(tmp_path, "a.en", "one\n"), written(tmp_path, "a.de", "eins\n")
    with pytest.raises(InvalidValue, match=re.escape("no sentence is left for the")):
        Files(source=source, target=target).parts(0)
