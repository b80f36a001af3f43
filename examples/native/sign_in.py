"""An app that signs in through the browser (RFC 8252), keeps its own tokens, and opens a page that is signed in, too."""
import http.server, json, sys, time, urllib.error, urllib.parse, urllib.request, webbrowser

DUALAUTH, PROVIDER = sys.argv[1:3]
PAGE = b"""<!doctype html><title>Sign-in</title><p>Go back to the app.</p>
<script>fetch('/', {method: 'POST', body: location.hash.slice(1)}); history.replaceState(null, '', '/')</script>"""

def call(path, body=None, token=None, goes_on=()):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
    data = None if body is None else json.dumps(body).encode()
    try:
        return json.load(urllib.request.urlopen(urllib.request.Request(DUALAUTH + path, data, headers)))
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        return problem if problem["code"] in goes_on else sys.exit(problem["detail"])

class Loopback(http.server.BaseHTTPRequestHandler):
    """Where the browser comes back to. The code is in the fragment, which only a page can read: it posts it here."""
    def do_GET(self, body=PAGE):
        self.send_response(200), self.send_header("Content-Type", "text/html"), self.end_headers(), self.wfile.write(body)
    def do_POST(self):
        fragment = dict(urllib.parse.parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        self.server.fragments[fragment.get("challenge")] = fragment
        self.do_GET(b"")
    log_message = lambda *_: None

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Loopback)  # browsers open connections that they don't use
server.fragments, server.timeout = {}, 0.2
challenge = call("/challenges", {"for": "login", "method": PROVIDER, "return_to": f"http://127.0.0.1:{server.server_port}/"})
webbrowser.open(challenge["authorization_url"])
while challenge["id"] not in server.fragments:  # by others than its own nobody is signed in
    server.handle_request()
if "error" in (fragment := server.fragments[challenge["id"]]):
    sys.exit("Nobody signed in: " + fragment["error"])
proof = {"challenge": challenge["challenge"], "code": fragment["code"], "device_name": "Native example"}
while "access_token" not in (tokens := call("/jwt/login", proof, goes_on=["second_factor_required"])):
    proof = {"challenge": tokens["challenge"], "code": input("Code of your authenticator: ")}
print("Signed in as", tokens["user"]["username"], flush=True)
webbrowser.open(call("/account/handoff", {}, tokens["access_token"])["url"])
while "access_token" in tokens:
    time.sleep(1)
    profile = call("/profile", None, tokens["access_token"], ["token_expired", "token_revoked"])
    if "code" in profile:  # it is time for a new one, or the roles have changed, or the login has ended: the refresh tells
        tokens = call("/jwt/refresh", {"refresh_token": tokens["refresh_token"]}, goes_on=["token_revoked"])
print("Signed out elsewhere: these tokens are dead, and so is the page", flush=True)
