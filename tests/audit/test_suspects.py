import json
import random

import numpy as np

from trimtab.audit.rows import noise_ceiling
from trimtab.audit.suspects import confident, suspected_targets
from trimtab.types import OutputContract

from .subjects import LABEL, TEXT, example, subject, table

ADDRESS = OutputContract(
    kind="json",
    json_schema={
        "type": "object",
        "properties": {
            name: {"type": "string"} for name in ("number", "street", "type", "city", "kind")
        },
    },
)
STREETS = ("Main", "Oak", "Lake", "Hill", "Park", "Mill", "Church", "River")
TYPES = ("St", "Ave", "Road", "Lane")
CITIES = ("Boise", "Salem", "Dover", "Austin", "Helena")


def suspects(rows, contract=LABEL):
    data = subject(rows, contract)
    return suspected_targets(data, table(data))


def labelled(n: int = 300):
    rng = random.Random(0)
    words = {
        "a": ["card", "payment", "declined", "refund", "invoice"],
        "b": ["parcel", "late", "box", "van"],
    }
    return [
        example(f"{' '.join(rng.choices(words['ab'[i % 2]], k=4))} {i}", "ab"[i % 2])
        for i in range(n)
    ]


def test_flipped_labels_are_suspected_with_their_right_label():
    rows = labelled()
    flipped = range(0, 300, 20)
    for i in flipped:
        rows[i] = example(rows[i].input, "b" if rows[i].target == "a" else "a")
    found = suspects(rows)
    assert found.severity == "warn"
    assert set(found.rows) == {rows[i].id for i in flipped}
    assert {flag.suggestion for flag in found.flags} == {"a"}
    assert 0.04 < found.figures["share"] < 0.06


def test_right_labels_are_not_suspected():
    found = suspects(labelled())
    assert (found.severity, found.count) == ("info", 0)


def test_confident_learning_by_hand():
    likely = np.array(
        [[0.9, 0.1]] * 5 + [[0.2, 0.8]] * 5 + [[0.1, 0.9], [0.45, 0.55]], dtype=np.float32
    )
    given = np.array([0] * 5 + [1] * 5 + [0, 0])
    # Thresholds: (5 x 0.9 + 0.1 + 0.45) / 7 = 0.72 and 0.8; the last row reaches neither.
    assert confident(likely, given) == [(10, 1)]


def test_a_learner_that_only_guesses_suspects_nobody():
    rng = random.Random(0)
    rows = [example(f"{rng.randrange(10**9)}", rng.choice("ab")) for _ in range(200)]
    found = suspects(rows)
    assert not found.measured
    assert "cannot tell" in found.message


def test_few_rows_and_free_text_stay_unknown():
    assert not suspects(labelled(40)).measured
    assert not suspects([example(f"t {i}", f"u {i}") for i in range(80)], TEXT).measured


def address(rng: random.Random, i: int) -> tuple[str, dict[str, str]]:
    number, street = str(rng.randrange(1, 9999)), rng.choice(STREETS)
    kind, city = rng.choice(TYPES), rng.choice(CITIES)
    value = {"number": number, "street": street, "type": kind, "city": city}
    return f"{number} {street} {kind} {city}", value | {"kind": "home"}


def addresses(n: int = 200):
    rng = random.Random(1)
    return [address(rng, i) for i in range(n)]


def as_rows(pairs):
    return [example(text, json.dumps(value)) for text, value in pairs]


def test_swapped_fields_foreign_values_and_left_over_words():
    pairs = addresses()
    text, value = pairs[3]
    pairs[3] = text, value | {"street": value["type"], "type": value["street"]}
    pairs[7] = pairs[7][0], pairs[7][1] | {"city": "Nowhere"}
    pairs[11] = f"{pairs[11][0]} rear", pairs[11][1]
    rows = as_rows(pairs)
    found = suspects(rows, ADDRESS)
    why = {flag.row: flag.why for flag in found.flags}
    assert {rows[i].id for i in (3, 7, 11)} <= set(why)
    assert "is not in the input" in why[rows[7].id]
    assert "'rear' is in no field" in why[rows[11].id]
    assert "has a probability of" in why[rows[3].id]
    assert found.count <= 6


def test_a_word_that_two_values_hold_is_not_taken_from_the_longer_one():
    pairs = addresses()
    value = {"number": "30", "street": "30 Lake plaza", "type": "St", "city": "Boise"}
    pairs[0] = "30 Lake plaza 30 St Boise", value | {"kind": "home"}
    rows = as_rows(pairs)
    assert not any("not in the input" in flag.why for flag in suspects(rows, ADDRESS).flags)


def test_a_field_of_few_values_is_judged_as_labels_are():
    pairs = addresses(300)
    pairs = [
        (
            f"{text} {'apartment' if i % 2 else 'warehouse'}",
            v | {"kind": ("home", "work")[1 - i % 2]},
        )
        for i, (text, v) in enumerate(pairs)
    ]
    text, value = pairs[5]
    pairs[5] = text, value | {"kind": "work"}
    rows = as_rows(pairs)
    found = suspects(rows, ADDRESS)
    assert found.flags[0].row == rows[5].id
    assert found.flags[0].suggestion == "kind: home"


def test_the_noise_ceiling_follows_from_disagreement():
    rows = []
    rng = random.Random(0)
    for i in range(50):
        text = " ".join(f"{rng.randrange(10**6)}" for _ in range(8))
        rows.append(example(text, "a"))
        rows.append(example(f"{text}!", "b" if i < 9 else "a"))
    data = subject(rows)
    found = noise_ceiling(data, table(data))
    assert found.figures["disagreement"] == 0.18
    assert abs(found.figures["wrong"] - 0.1) < 1e-9  # 2 x 0.1 x 0.9 = 0.18
    assert abs(found.figures["ceiling"] - 0.9) < 1e-9
