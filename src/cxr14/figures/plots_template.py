"""HTML template of `dvc plots` that works without a network.

DVC's own template loads Vega from a content delivery network; this one contains it. `make setup`
writes it, and .dvc/config names it (plots.html_template).
"""

import sys
from functools import cache
from pathlib import Path

import vl_convert

from cxr14.io import write_text

# DVC replaces {plot_divs}. Its {scripts} (external references) is omitted: the bundle defines the
# same vegaEmbed.
FRAME = Path(__file__).with_name("plots_page.html")


def main(path: str) -> None:
    """Write the template for ``dvc plots``."""
    write_text(path, FRAME.read_text(encoding="utf-8").replace("BUNDLE", vega_script()))


@cache
def vega_script() -> str:
    """Return the script of Vega, Vega-Lite and vegaEmbed, to stand in an HTML script element."""
    # The stub requires a snippet; the library has a default.
    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return bundle.replace("</script", "<\\/script")


if __name__ == "__main__":
    main(sys.argv[1])
