"""The local web page of a gauge: `porogauge serve`.

    with Page("line1.db") as page:          # or Page("line1.db", port="/dev/ttyACM0")
        print(page.address)                 # http://127.0.0.1:8460/#token=...
        page.wait()

`server` starts and stops it; `app` has the addresses, `guard` who may do what, `answers` and
`views` what is asked of the database, `changes` what is changed; `feed` follows the database into
`lines` of `pyramid`s; `recorder` is the logger beside the page. `static` is what the browser runs.
"""

from .server import Page

__all__ = ["Page"]
