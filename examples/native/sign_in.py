"""An app that signs in through the browser (RFC 8252), keeps its own tokens, and opens a page that is signed in, too."""
import http.server, json, sys, time, urllib.error, urllib.parse, urllib.request, webbrowser

DUALAUTH, PROVIDER = sys.argv[1:3]
PAGE = b"<script>fetch('/', {method: 'POST', body: location.hash.slice(1)}).then(() => document.write('Go back to the app.'))</script>"

def call(path, body=None, token=None, goes_on=()):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + token} if token else {})
    try:
        return json.load(urllib.request.urlopen(urllib.request.Request(DUALAUTH + path, body and json.dumps(body).encode(), headers)))
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        return problem if problem["code"] in goes_on else sys.exit(problem["detail"])

class Loopback(http.server.BaseHTTPRequestHandler):
    """Where the browser comes back to. The code is in the fragment, which only a page can read: it posts it here."""
    def do_GET(self, body=PAGE):
        self.send_response(200), self.send_header("Content-Type", "text/html"), self.end_headers(), self.wfile.write(body)
    def do_POST(self):
        fragment = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.fragment = dict(urllib.parse.parse_qsl(fragment))
        self.do_GET(b"")
    def log_message(self, *_):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Loopback)
server.fragment = {}
challenge = call("/challenges", {"for": "login", "method": PROVIDER, "return_to": f"http://127.0.0.1:{server.server_port}/"})
webbrowser.open(challenge["authorization_url"])
while server.fragment.get("challenge") != challenge["id"]:
    server.handle_request()
proof = {"challenge": challenge["challenge"], "code": server.fragment.get("code", ""), "device_name": "Native example"}
while "access_token" not in (tokens := call("/jwt/login", proof, goes_on=["second_factor_required"])):
    proof = {"challenge": tokens["challenge"], "code": input("Code of your authenticator: ")}
print("Signed in as", tokens["user"]["username"], flush=True)
webbrowser.open(call("/account/handoff", {}, tokens["access_token"])["url"])
while (state := call("/profile", None, tokens["access_token"], ["token_expired", "token_revoked"])).get("code") != "token_revoked":
    if state.get("code") == "token_expired":
        tokens = call("/jwt/refresh", {"refresh_token": tokens["refresh_token"]})
    time.sleep(1)
print("Signed out elsewhere: these tokens are dead, and so is the page", flush=True)
