"""HTML template of `dvc plots` that works without a network.

DVC's own template loads Vega from a content delivery network; this one contains it. `make setup`
writes it, and .dvc/config names it (plots.html_template).
"""

import sys
from functools import cache

import vl_convert

from cxr14.io import write_text

# DVC replaces {plot_divs}. Its {scripts} (external references) is omitted: the bundle defines the
# same vegaEmbed.
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
    """Write the template for ``dvc plots``."""
    write_text(path, FRAME.replace("BUNDLE", vega_script()))


@cache
def vega_script() -> str:
    """Return the script of Vega, Vega-Lite and vegaEmbed, to stand in an HTML script element."""
    # The stub requires a snippet; the library has a default.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")


if __name__ == "__main__":
    main(sys.argv[1])
