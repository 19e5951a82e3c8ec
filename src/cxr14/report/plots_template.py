"""A page frame for `dvc plots` that works without a network.

DVC's own frame loads Vega from a content delivery network; this one carries it. It is written
at set-up and named in .dvc/config (plots.html_template).
"""

import sys

import vl_convert

from cxr14.files import write_text

# DVC puts its pictures in place of {plot_divs}. Its {scripts}, which are the references to the
# outside, have no place here: the bundle defines the same vegaEmbed.
FRAME = """<!DOCTYPE html>
<html>
<head>
  <meta charset="utf-8">
  <title>DVC plots</title>
  <script type="text/javascript">BUNDLE</script>
  <style>table { border-spacing: 15px; }</style>
</head>
<body>
{plot_divs}
</body>
</html>
"""


def main(path: str) -> None:
    """Write the frame."""
    # The stub asks for a snippet, the library brings one of its own.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    bundle = bundle.replace("</script", "<\\/script")
    write_text(path, FRAME.replace("BUNDLE", bundle))


if __name__ == "__main__":
    main(sys.argv[1])
