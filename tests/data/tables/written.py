"""Small tables in NIH's forms, written for tests."""

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"


def write(path, header, rows):
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def image_row(
    name="00000009_000.png", labels="Mass", patient=9, age="58", sex="F", view="PA", end=""
):
    return f"{name},{labels},0,{patient},{age},{sex},{view},1024,1024,0.1,0.1{end}"
