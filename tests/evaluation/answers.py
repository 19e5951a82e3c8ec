"""What several tests of the scores take from a study and its tables."""

from cxr14.labels import CLASSES

EDEMA, HERNIA, MASS, FIBROSIS = (
    CLASSES.index(name) for name in ("Edema", "Hernia", "Mass", "Fibrosis")
)


def part(study, name):
    """Labels, logits, probabilities and patients of one part."""
    return [one[study[0] == name] for one in study[1:]]


def rows(table, key="finding"):
    return {row[key]: row for row in table.to_dict("records")}


def few(study, classes):
    """The columns of some classes."""
    parts, *matrices, patients = study
    columns = [CLASSES.index(name) for name in classes]
    return parts, *(matrix[:, columns] for matrix in matrices), patients
