"""Damages clean data in known ways, and counts how much of it the audit finds.

    python benchmarks/planted.py [--seeds 3]

Faults in the real examples (labels flipped, fields swapped, targets broken, rows copied within and
across splits, a kind of input left out) and personal data in generated sentences. Prints recall and
precision of each, and as last line one JSON object. The rows that the examples themselves have
wrong count against precision.
"""

from __future__ import annotations

import argparse
import json
import random
import string
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from statistics import mean

from trimtab.audit.coverage import coverage
from trimtab.audit.personal import find
from trimtab.audit.rows import exact_duplicates, leakage
from trimtab.audit.semantic import semantic_duplicates
from trimtab.audit.subject import DEV, TEST, TRAIN, Subject, walk
from trimtab.audit.suspects import suspected_targets
from trimtab.audit.targets import ContractViolations
from trimtab.task.data import read_examples
from trimtab.task.load import load_task
from trimtab.task.near import near_duplicate_clusters, normalised
from trimtab.types import Example, OutputContract, content_hash

REPOSITORY = Path(__file__).resolve().parent.parent
ALL = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    faults: dict[str, Callable[[random.Random], dict[str, float]]] = {
        "labels flipped, 5 % of names": flipped_labels,
        "fields swapped, 5 % of addresses": swapped_fields,
        "targets broken, 5 % of addresses": broken_targets,
        "exact copies, 3 % of addresses": exact_copies,
        "near copies across splits, 3 % of addresses": near_copies,
        "kind of input missing from addresses": missing_kind,
        "nothing missing from addresses": nothing_missing,
        "personal data, generated": personal_data,
    }
    figures = {}
    for name, fault in faults.items():
        found = [fault(random.Random(seed)) for seed in seeds]  # noqa: S311 - reproducible
        figures[name] = {
            key: {
                "mean": round(mean(each[key] for each in found), 3),
                "least": round(min(each[key] for each in found), 3),
                "most": round(max(each[key] for each in found), 3),
            }
            for key in found[0]
        }
        shown = ", ".join(
            f"{key} {value['mean']:.2f} [{value['least']:.2f}, {value['most']:.2f}]"
            for key, value in figures[name].items()
        )
        print(f"{name}: {shown}", flush=True)
    print(json.dumps({"benchmark": "planted", "seeds": len(seeds), "figures": figures}))


def example_rows(name: str) -> tuple[list[Example], OutputContract]:
    """The distinct rows of an example, prepared where they are not there yet."""
    path = REPOSITORY / "examples" / name / "rows.jsonl"
    if not path.exists():
        prepare = [sys.executable, str(REPOSITORY / "examples/prepare.py"), name]
        subprocess.run(prepare, check=True, stdout=subprocess.DEVNULL)
    contract = load_task(path.parent).output
    distinct = {row.id: row for row in read_examples(path, contract)}
    return list(distinct.values()), contract


def subject(
    rows: Sequence[Example],
    contract: OutputContract,
    places: Sequence[int] | None = None,
    **more: object,
) -> Subject:
    clusters = near_duplicate_clusters([row.input for row in rows])
    return Subject(rows, clusters, places, contract, listed=ALL, **more)  # type: ignore[arg-type]


def remade(row: Example, text: str, target: str) -> Example:
    identity = content_hash(text, target)
    return row.model_copy(update={"id": identity, "input": text, "target": target})


def rates(found: Iterable[str], planted: set[str]) -> dict[str, float]:
    flagged = set(found)
    hits = len(flagged & planted)
    return {"recall": hits / len(planted), "precision": hits / len(flagged) if flagged else 1.0}


def flipped_labels(draw: random.Random) -> dict[str, float]:
    rows, contract = example_rows("names")
    planted = set()
    for place in draw.sample(range(len(rows)), len(rows) // 20):
        row = rows[place]
        other = draw.choice([label for label in contract.labels if label != row.target])
        rows[place] = remade(row, row.input, other)
        planted.add(rows[place].id)
    data = subject(rows, contract)
    suspects = suspected_targets(data, walk(data, [])).rows
    hits = accumulate(row in planted for row in suspects)  # the least likely targets come first
    right_half = max(hit for shown, hit in enumerate(hits, 1) if hit * 2 >= shown)
    return rates(suspects, planted) | {"recall at precision 0.5": right_half / len(planted)}


def swapped_fields(draw: random.Random) -> dict[str, float]:
    """The values of two fields of a row change places."""
    rows, contract = example_rows("addresses")
    planted = set()
    for place in draw.sample(range(len(rows)), len(rows) // 20):
        row = rows[place]
        value = json.loads(row.target)
        pairs = [(a, b) for a in value for b in value if a < b and value[a] != value[b]]
        if pairs:
            first, second = draw.choice(pairs)
            value[first], value[second] = value[second], value[first]
            rows[place] = remade(row, row.input, json.dumps(value))
            planted.add(rows[place].id)
    data = subject(rows, contract)
    return rates(suspected_targets(data, walk(data, [])).rows, planted)


def broken_targets(draw: random.Random) -> dict[str, float]:
    """JSON that is cut, in prose, with a key too many, with a wrong type, or no object at all."""
    rows, contract = example_rows("addresses")
    planted = set()
    for number, place in enumerate(draw.sample(range(len(rows)), len(rows) // 20)):
        row, breaking = rows[place], list(BREAKS)[number % len(BREAKS)]
        rows[place] = remade(row, row.input, BREAKS[breaking](row.target))
        planted.add(rows[place].id)
    data = subject(rows, contract)
    looking = ContractViolations(data)
    walk(data, [looking])
    return rates((flag for found in looking.findings() for flag in found.rows), planted)


BREAKS: dict[str, Callable[[str], str]] = {
    "cut": lambda target: target[:-3],
    "in prose": lambda target: f"The parts are {target}.",
    "a key too many": lambda target: json.dumps(json.loads(target) | {"planet": "Earth"}),
    "a wrong type": lambda target: json.dumps(json.loads(target) | {"zip": 60601}),
    "no object": lambda target: json.dumps([json.loads(target)]),
}


def exact_copies(draw: random.Random) -> dict[str, float]:
    """The copies are the same rows, so a copied row counts as found where its id is listed."""
    rows, contract = example_rows("addresses")
    copied = draw.sample(rows, len(rows) * 3 // 100)
    data = subject([*rows, *copied], contract)
    return rates(exact_duplicates(data, walk(data, [])).rows, {row.id for row in copied})


def near_copies(draw: random.Random) -> dict[str, float]:
    """Slightly changed copies of test rows go to train: recall of the leak check, and by edit."""
    rows, contract = example_rows("addresses")
    clean = subject(rows, contract)
    places: list[int] = []
    taken: dict[int, int] = {}
    for cluster in clean.clusters:
        places.append(taken.setdefault(cluster, draw.choices((TRAIN, DEV, TEST), (7, 1, 2))[0]))
    originals = [i for i, place in enumerate(places) if place == TEST and len(rows[i].input) >= 20]
    planted: dict[str, set[str]] = {name: set() for name in EDITS}
    for number, i in enumerate(draw.sample(originals, min(len(originals), len(rows) * 3 // 100))):
        name = list(EDITS)[number % len(EDITS)]
        text = EDITS[name](draw, rows[i].input)
        rows.append(remade(rows[i], text, rows[i].target))
        places.append(TRAIN)
        planted[name].add(rows[-1].id)
    data = subject(rows, contract, places)
    table = walk(data, [])
    found = set(leakage(data, table).rows)
    alike = set(semantic_duplicates(data, table).rows)
    everything = set().union(*planted.values())
    sources = {row.id for row, place in zip(rows, places, strict=True) if place == TEST}
    figures = rates(found - sources, everything)
    for name, ids in planted.items():
        figures[f"recall: {name}"] = len(ids & found) / len(ids)
    figures["recall with semantic-duplicates"] = len(everything & (found | alike)) / len(everything)
    return figures


def _typo(draw: random.Random, text: str) -> str:
    place = draw.choice([i for i, character in enumerate(text) if character.isalpha()])
    return text[:place] + draw.choice(string.ascii_lowercase) + text[place + 1 :]


EDITS: dict[str, Callable[[random.Random, str], str]] = {
    "case": lambda draw, text: text.swapcase(),
    "spacing": lambda draw, text: text.replace(" ", "  ", 1) + " ",
    "a full stop added": lambda draw, text: text + ".",
    "one letter typed wrongly": _typo,
}


def missing_kind(draw: random.Random) -> dict[str, float]:
    """Half of the rows are the traffic; post boxes are left out of the other half."""
    rows, contract = example_rows("addresses")
    draw.shuffle(rows)
    half = len(rows) // 2
    traffic = [row.input for row in rows[:half]]
    data = subject([r for r in rows[half:] if not _is_box(r)], contract, traffic=traffic)
    found = coverage(data, walk(data, []))
    boxes = {normalised(row.input) for row in rows[:half] if _is_box(row)}
    farthest = [normalised(traffic[int(flag.row.split(":")[1]) - 1]) for flag in found.flags]
    named = [what for what in found.collect if "box" in what.casefold()]
    return {
        "share of traffic": len(boxes) / half,
        "auc": found.figures["auc"] or 0.0,
        "p": found.figures["p_value"] or 0.0,
        "warned": float(found.severity != "info"),
        "kind named": float(bool(named)),
        "kinds asked for": float(len(found.collect)),
        "boxes among the farthest inputs": mean(text in boxes for text in farthest),
    }


def nothing_missing(draw: random.Random) -> dict[str, float]:
    rows, contract = example_rows("addresses")
    draw.shuffle(rows)
    half = len(rows) // 2
    data = subject(rows[half:], contract, traffic=[row.input for row in rows[:half]])
    found = coverage(data, walk(data, []))
    return {
        "auc": found.figures["auc"] or 0.0,
        "warned": float(found.severity != "info"),
        "kinds asked for": float(len(found.collect)),
    }


def _is_box(row: Example) -> bool:
    return "box" in json.loads(row.target)


def personal_data(draw: random.Random) -> dict[str, float]:
    """Each value in a sentence, among three times as many sentences with harmless numbers."""
    planted = {
        f"{draw.choice(FRAMES).format(make(draw))} #{i}": kind
        for kind, make in PERSONAL.items()
        for i in range(100)
    }
    harmless = [
        f"{draw.choice(FRAMES).format(draw.choice(HARMLESS)(draw))} #{i}"
        for i in range(3 * len(planted))
    ]
    flagged = {text for text in [*planted, *harmless] if next(find(text), None)}
    figures = rates(flagged, set(planted))
    for kind in PERSONAL:
        mine = [text for text, each in planted.items() if each == kind]
        figures[f"recall: {kind}"] = mean(text in flagged for text in mine)
    return figures


def _number(draw: random.Random, count: int) -> str:
    return "".join(draw.choices(string.digits, k=count))


def _name(draw: random.Random) -> str:
    return "".join(draw.choices(string.ascii_lowercase, k=draw.randint(3, 9)))


def _email(draw: random.Random) -> str:
    dot = draw.choice(["", ".", "_", "-"])
    host = draw.choice(["com", "org", "co.uk", "de", "example"])
    return f"{_name(draw)}{dot}{_name(draw)}@{_name(draw)}.{host}"


def _phone(draw: random.Random) -> str:
    area, exchange = draw.randint(201, 989), draw.randint(200, 999)
    forms = [
        f"({area}) {exchange}-{_number(draw, 4)}",
        f"{area}-{exchange}-{_number(draw, 4)}",
        f"{area}.{exchange}.{_number(draw, 4)}",
        f"+1 {area} {exchange} {_number(draw, 4)}",
        f"+44 20 {_number(draw, 4)} {_number(draw, 4)}",
        f"+49 {draw.randint(30, 89)} {_number(draw, 7)}",
        f"+33 {draw.randint(1, 9)} {' '.join(_number(draw, 2) for _ in range(4))}",
        f"0{draw.randint(30, 89)} {_number(draw, 4)} {_number(draw, 4)}",
        f"0171/{_number(draw, 4)} {_number(draw, 3)}",
        f"{area} {exchange} {_number(draw, 4)}",
    ]
    return draw.choice(forms)


def _card(draw: random.Random) -> str:
    start, length = draw.choice([("4", 16), ("51", 16), ("34", 15), ("6011", 16), ("36", 14)])
    body = start + _number(draw, length - len(start) - 1)
    total = 0
    for place, digit in enumerate(reversed(body)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    digits = body + str(-total % 10)
    gap = draw.choice(["", " ", "-"])
    return gap.join(digits[i : i + 4] for i in range(0, length, 4))


def _iban(draw: random.Random) -> str:
    country, length = draw.choice([("DE", 22), ("FR", 27), ("GB", 22), ("NL", 18), ("ES", 24)])
    letters = 4 if country in {"GB", "NL"} else 0
    body = "".join(draw.choices(string.ascii_uppercase, k=letters))
    body += _number(draw, length - 4 - letters)
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    iban = f"{country}{98 - number % 97:02d}{body}"
    return iban if draw.random() < 0.5 else " ".join(iban[i : i + 4] for i in range(0, length, 4))


def _ssn(draw: random.Random) -> str:
    area = draw.choice([n for n in range(1, 900) if n != 666])
    return f"{area:03d}-{draw.randint(1, 99):02d}-{draw.randint(1, 9999):04d}"


def _nino(draw: random.Random) -> str:
    gap = draw.choice(["", " "])
    pair = draw.choice(["AB", "CE", "JM", "PW", "SR"])
    return gap.join([pair, *(_number(draw, 2) for _ in range(3)), draw.choice("ABCD")])


def _dni(draw: random.Random) -> str:
    number = draw.randint(10**7, 10**8 - 1)
    return f"{number}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


PERSONAL: dict[str, Callable[[random.Random], str]] = {
    "e-mail": _email,
    "phone": _phone,
    "card": _card,
    "IBAN": _iban,
    "US social security number": _ssn,
    "UK national insurance number": _nino,
    "Spanish DNI": _dni,
}
FRAMES = (
    "please use {} for this",
    "{} is what I gave you last week",
    "Is it {}?",
    "my details ({}) have changed",
    "contact: {}.",
    "see {}, as agreed",
)
HARMLESS: tuple[Callable[[random.Random], str], ...] = (
    lambda draw: f"order {_number(draw, draw.randint(5, 10))}",
    lambda draw: f"2026-{draw.randint(1, 12):02d}-{draw.randint(1, 28):02d} 09:{_number(draw, 2)}",
    lambda draw: f"{draw.randint(1, 28)}.{draw.randint(1, 12)}.2026",
    lambda draw: f"{draw.randint(1, 9)},{_number(draw, 3)}.{_number(draw, 2)} USD",
    lambda draw: f"version {draw.randint(1, 20)}.{draw.randint(0, 30)}.{draw.randint(0, 99)}",
    lambda draw: f"{draw.randint(1, 9999)} Main St, IL {_number(draw, 5)}-{_number(draw, 4)}",
    lambda draw: f"part {_name(draw).upper()}-{_number(draw, 6)}",
    lambda draw: f"{_name(draw)} @{_name(draw)}",
    lambda draw: f"{draw.randint(0, 255)}.{draw.randint(0, 255)}.{draw.randint(0, 255)}.1",
    lambda draw: f"tracking {_number(draw, 12)}",
    lambda draw: f"{draw.randint(2, 30)} x {draw.randint(2, 900)} mm",
)


if __name__ == "__main__":
    main()
