import hashlib
import importlib.util
import io
import json
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from trimtab.errors import DataError
from trimtab.task.contract import violation
from trimtab.task.data import read_examples
from trimtab.task.load import load_task

EXAMPLES = Path(__file__).parents[2] / "examples"

ADDRESS = (
    "<AddressString><AddressNumber>12</AddressNumber> <StreetName>Old</StreetName> "
    "<StreetName>Mill</StreetName> <StreetNamePostType>Rd</StreetNamePostType>, "
    "<suffix>East</suffix> <PlaceName>Boise,</PlaceName>\n  </AddressString>"
)
FILES = {
    "addresses": {
        "training/labeled.xml": f"<AddressCollection>{ADDRESS}</AddressCollection>",
        "training/us50_messiest_manual_label.xml": "<AddressCollection/>",
        "training/us50_train_tagged.xml": "<AddressCollection/>",
        "training/multi_word_state_addresses.xml": (
            "<AddressCollection><AddressString/></AddressCollection>"
        ),
        "LICENSE": "The MIT License (MIT)\n\nPermission is granted.\n",
    },
    "names": {
        "name_data/labeled/person_labeled.xml": (
            "<NameCollection><Name><GivenName>Ada</GivenName>  <Surname>Rice</Surname>\n </Name>"
            "<Name><Surname>HUERTA</Surname></Name></NameCollection>"
        ),
        "name_data/labeled/company_labeled.xml": (
            "<NameCollection><Name><CorporationName>dtd</CorporationName> "
            "<CorporationLegalType>llc</CorporationLegalType></Name></NameCollection>"
        ),
        "LICENSE": "The MIT License (MIT)\n",
    },
}


@pytest.fixture(scope="module")
def prepare():
    spec = importlib.util.spec_from_file_location("prepare", EXAMPLES / "prepare.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["prepare"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["prepare"]


@pytest.fixture
def packed(prepare, tmp_path):
    """A source as on the index, in small, and the function that fetches it."""

    def _packed(name: str):
        source = prepare.SOURCES[name]
        path = tmp_path / f"{source.folder}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for inner, text in FILES[name].items():
                member = tarfile.TarInfo(f"{source.folder}/{inner}")
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        return replace(source, sha256=sha256), lambda *_: path

    return _packed


def rows_of(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]


def test_addresses(prepare, packed, tmp_path, capsys):
    source, fetch = packed("addresses")
    prepare.prepare(source, tmp_path / "out", fetch)
    assert rows_of(tmp_path / "out") == [
        {
            "input": "12 Old Mill Rd, East Boise,",
            "output": {"number": "12", "street": "Old Mill", "street_type": "Rd", "city": "Boise"},
        }
    ]
    printed = capsys.readouterr().out
    assert "1 x token with the unknown label suffix" in printed
    assert "1 x address without text or parts" in printed
    assert "licence: The MIT License (MIT)" in printed
    page = (tmp_path / "out" / "SOURCE.md").read_text()
    assert "Permission is granted." in page
    assert source.sha256 in page


def test_names(prepare, packed, tmp_path, capsys):
    source, fetch = packed("names")
    prepare.prepare(source, tmp_path / "out", fetch)
    assert rows_of(tmp_path / "out") == [
        {"input": "Ada Rice", "output": "person"},
        {"input": "dtd llc", "output": "company"},
    ]
    assert "1 x person of a single word" in capsys.readouterr().out


def test_a_second_run_fetches_nothing(prepare, packed, tmp_path):
    source, fetch = packed("names")
    prepare.prepare(source, tmp_path / "out", fetch)

    def refuse(*_):
        raise AssertionError("fetched again")

    prepare.prepare(source, tmp_path / "out", refuse)


def test_another_archive_is_refused_and_nothing_written(prepare, packed, tmp_path):
    _, fetch = packed("names")
    with pytest.raises(DataError, match="SHA-256"):
        prepare.prepare(prepare.SOURCES["names"], tmp_path / "out", fetch)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["addresses", "names"])
def test_the_task_files_load(name):
    task = load_task(EXAMPLES / name)
    assert task.name == name
    assert task.constraints.general_ability == "not-needed"


def test_the_address_schema_has_every_field_in_order(prepare):
    schema = load_task(EXAMPLES / "addresses").output.json_schema
    assert list(schema["properties"]) == list(prepare.ADDRESS_FIELDS.values())


@pytest.mark.parametrize("name", ["addresses", "names"])
def test_prepared_rows_keep_the_contract(prepare, packed, tmp_path, name):
    source, fetch = packed(name)
    prepare.prepare(source, tmp_path / "out", fetch)
    output = load_task(EXAMPLES / name).output
    for example in read_examples(tmp_path / "out" / "rows.jsonl", output):
        assert violation(output, example.target) is None
