"""Who is answered by the server of the page, and what can be reached through it."""

import http.client
import json
import socket

import pytest

from man_jax.search_page import server as page_server
from tests.search_page.pages import drawn_files, drawn_page, served


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "secret.png").write_bytes((folder / "secret.png").name.encode())
    with served(drawn_page(*drawn_files(folder))) as running:
        yield running


def asked(server, method, path, *, headers=None, body=None):
    """Ask once; return the status, the headers and the body."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    try:
        host = {"Host": f"127.0.0.1:{server.server_port}"}
        connection.putrequest(method, path, skip_host=True)
        for name, value in (host | (headers or {})).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def test_only_this_machine_can_connect(server):
    assert server.socket.getsockname()[0] == "127.0.0.1"


def test_the_page_and_its_answers_are_served(server):
    status, headers, body = asked(server, "GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"@NONCE@" not in body
    assert json.loads(asked(server, "GET", "/about")[2])["title"] == "gallery.npz"
    assert json.loads(asked(server, "GET", "/queries?text=&start=0")[2])["total"] == 4
    assert len(json.loads(asked(server, "GET", "/matches?source=query&row=0&k=2")[2])["matches"]) == 2
    assert asked(server, "GET", "/image/gallery/0/R")[1]["Content-Type"] == "image/jpeg"


def test_a_head_request_gets_no_body(server):
    status, headers, body = asked(server, "HEAD", "/")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80", "", "[::1]:80"]
)
@pytest.mark.parametrize("path", ["/", "/about", "/image/gallery/0/R"])
def test_a_foreign_name_that_leads_here_is_refused(server, host, path):
    status, _, body = asked(server, "GET", path, headers={"Host": host})
    assert status == 403
    assert b"Open this page as http://127.0.0.1:" in body


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "localhost"])
def test_a_tunnel_from_another_port_is_answered(server, host):
    assert asked(server, "GET", "/about", headers={"Host": host})[0] == 200


def test_other_pages_may_not_ask(server):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert asked(server, "GET", "/about", headers={"Origin": origin})[0] == 403
    own = f"http://127.0.0.1:{server.server_port}"
    assert asked(server, "GET", "/about", headers={"Origin": own})[0] == 200


def test_other_pages_may_not_show_the_images_or_frame_the_page(server):
    for path in ("/", "/image/gallery/0/R", "/nowhere"):
        headers = asked(server, "GET", path)[1]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "default-src 'none'" in headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/secret.png",
        "/../secret.png",
        "/image/../../secret.png",
        "/image/gallery/0/..%2f..%2fsecret.png",
        "/image/gallery/-1/R",
        "/image/gallery/99/R",
        "/image/gallery/0/T",
        "/image//0/R",
        "/matches?source=query&row=one&k=2",
        "/matches?source=query&row=0",
        "/queries?start=9999999999999999",
        "//evil.example/about",
    ],
)
def test_only_images_that_the_files_name_are_served(server, path):
    status, headers, body = asked(server, "GET", path)
    assert status in (400, 404)
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body)["error"].endswith(".")


@pytest.mark.parametrize(
    ("path", "kind", "body", "status"),
    [
        ("/upload", "text/plain", b"{}", 415),
        ("/upload", "application/x-www-form-urlencoded", b"{}", 415),
        ("/upload", "application/json", b"{", 400),
        ("/upload", "application/json", b"\xff", 400),
        ("/upload", "application/json", b"{}", 400),
        ("/about", "application/json", b"{}", 404),
    ],
)
def test_a_post_that_is_no_upload_of_the_page_is_refused(server, path, kind, body, status):
    assert asked(server, "POST", path, headers={"Content-Type": kind}, body=body)[0] == status


def test_an_upload_that_is_too_large_is_refused_before_it_is_read(server, monkeypatch):
    monkeypatch.setattr(page_server, "MAX_UPLOAD", 10)
    headers = {"Content-Type": "application/json", "Content-Length": "11"}
    status, answered, body = asked(server, "POST", "/upload", headers=headers)
    assert (status, answered["Connection"]) == (413, "close")
    assert b"at most 10 are taken" in body


def test_an_upload_of_unknown_length_is_refused(server):
    assert asked(server, "POST", "/upload", headers={"Content-Type": "application/json"})[0] == 400


def test_other_methods_are_not_served(server):
    assert asked(server, "DELETE", "/about")[0] == 501


def test_a_browser_that_goes_away_leaves_no_traceback(server, capfd):
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.server_port)) as link:
            link.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert asked(server, "GET", "/about")[0] == 200
    assert capfd.readouterr().err == ""
