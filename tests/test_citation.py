"""CITATION.cff names this software and the papers that its models come from."""

import re
from pathlib import Path

from ruamel.yaml import YAML

from ndic_core.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent


def test_it_names_all_that_the_format_asks_for():
    citation = YAML(typ="safe").load(ROOT / "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    for work in (citation, *citation["references"]):
        assert {"title", "authors", "type"} <= set(work)
        assert all("name" in author or {"family-names", "given-names"} <= set(author) for author in work["authors"])


def test_every_models_paper_is_there():
    cited = {paper["doi"] for paper in YAML(typ="safe").load(ROOT / "CITATION.cff")["references"]}
    sources = {number for info in CATALOGUE.values() for number in re.findall(r"arXiv (\d{4}\.\d{5})", info.source)}
    assert sources
    assert {f"10.48550/arXiv.{number}" for number in sources} <= cited
