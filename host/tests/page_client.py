"""A page for tests, and the requests that a browser would send it, or somebody else."""

from __future__ import annotations

import http.client
import json
import time
from contextlib import contextmanager

from porogauge.book import Book
from porogauge.page import Page

HOSTILE = (
    "<script>document.title='forged'</script>",
    '"><img src=x onerror="document.title=1">',
    "'; DROP TABLE records; --",
    "{{constructor.constructor('return 1')()}}",
    "javascript:alert(1)",
    "\u05d0\u05d1\u05d2 roll 1/2 \u0661",
)


class Client:
    """Requests to a page; `token` goes along with each, None: none does."""

    def __init__(self, page, token=None):
        self.host, self.port = "127.0.0.1", int(page.url.rsplit(":", 1)[1].strip("/"))
        self.token = token

    def ask(self, method, path, body=None, **headers):
        """(status, headers, content) of an answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        for name, value in headers.items():
            sent[name.replace("_", "-")] = value
        data = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def get(self, what, **parameters):
        """An answer of the API, decoded."""
        from urllib.parse import urlencode

        status, _, content = self.ask("GET", f"/api/{what}?{urlencode(parameters)}")
        assert status == 200, content
        return json.loads(content)

    def post(self, what, **body):
        """(status, decoded answer) of a change."""
        status, _, content = self.ask("POST", f"/api/{what}", body)
        return status, json.loads(content)


@contextmanager
def served(path, **options):
    """A page that has read all of its database; (page, client without token)."""
    with Page(path, listen=0, book=Book(), **options) as page:
        client = Client(page)
        deadline = time.monotonic() + 30
        while page.feed.complete < 1 or (not page.feed.devices() and not options):
            assert time.monotonic() < deadline, page.feed.problem
            time.sleep(0.02)
        yield page, client
