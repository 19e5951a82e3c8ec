"""The tables as shipped: their published size, and no issue but one spelling."""

from cxr14.datasets.boxes import read_box_table
from cxr14.datasets.image_table import read_image_table
from cxr14.labels import FINDINGS
from tests.datasets.tables.written import met


def test_the_packaged_table_has_the_published_size(tables):
    records, drawn = tables
    assert len(records) == 112_120
    assert records.patient.nunique() == 30_805
    assert int(records.no_finding.sum()) == 60_361
    assert int((records[list(FINDINGS)].sum(axis=1) == 0).sum()) == 60_361
    assert (len(drawn), drawn.image.nunique()) == (984, 880)
    assert drawn.image.isin(records.image).all()
    assert (records.age.max(), int(records.age.isna().sum())) == (95, 0)


def test_the_packaged_tables_have_no_issue_but_123_infiltrates(table_files):
    read = read_image_table(table_files[0])
    drawn = read_box_table(table_files[1], read.frame)
    assert met(read) == {}
    assert {rule: len(values) for rule, values in met(drawn).items()} == {"respelled_labels": 123}
