"""Makes a container in an Azure account on this machine: PORT ACCOUNT KEY NAME."""

import base64
import datetime
import hashlib
import hmac
import http.client
import sys

port, account, key, name = sys.argv[1:]
now = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
path = f"/{account}/{name}"
headers = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
shown = "".join(f"{header}:{value}\n" for header, value in headers.items())
text = "PUT" + "\n" * 12 + shown + f"/{account}{path}\nrestype:container"
mac = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(mac).decode()}"
headers["Content-Length"] = "0"
connection = http.client.HTTPConnection("127.0.0.1", int(port))
connection.request("PUT", path + "?restype=container", headers=headers)
reply = connection.getresponse()
assert reply.status == 201, (reply.status, reply.read())
