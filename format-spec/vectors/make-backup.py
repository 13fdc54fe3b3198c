#!/usr/bin/env python3
"""Makes backup/ from backup.md alone: a base and a segment, two parts each where that shows something."""
import hashlib, json, os, struct, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "backup")


def put(name, data):
    path = os.path.join(ROOT, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def sha(data):
    return hashlib.sha256(data).hexdigest()


def part(content):
    line = b"FASTNESS-OBJECT 1 plain %d %d %s " % (len(content), len(content), sha(content).encode())
    crc = zlib.crc32(line + content)
    whole = line + b"%08x\n" % crc + content
    put("objects/%s/%s" % (sha(content)[:2], sha(content)), whole)
    return [sha(content), len(content), len(whole)]


def entry(name, seq, content, cuts, **more):
    edges = [0] + cuts + [len(content)]
    parts = [part(content[a:b]) for a, b in zip(edges, edges[1:])]
    return dict(name=name, seq=seq, size=len(content), sha256=sha(content), parts=parts, **more)


base = open(os.path.join(HERE, "rdb-empty.rdb"), "rb").read()
segment = open(os.path.join(HERE, "aof-framed.aof"), "rb").read()
manifest = {
    "id": "20251122T160001Z-00c0ffee",
    "created_at": 1763827201500,
    "origin": {"kind": "directory", "address": "/data", "producer": "",
               "log_dir": "appendonlydir", "log_name": "appendonly.aof"},
    "instant": 1763827200456,
    "position": 190,
    "base": entry("appendonly.aof.1.base.rdb", 1, base, [], position=0, first_time=1763827199000, last_time=1763827199000, records=0),
    "segments": [entry("appendonly.aof.2.incr.aof", 2, segment, [100], salt="00112233445566ff", position=0,
                       end=190, first_time=1763827200123, last_time=1763827200456, records=3)],
    "digest": None,
    "keys": None,
}
put("repository", b"FASTNESS-REPOSITORY 1\nid example\nsha256 %s\n" % sha(b"example").encode())
text = b"FASTNESS-BACKUP 1\n" + json.dumps(manifest, indent=1).encode() + b"\n"
put("backups/" + manifest["id"], text + b"sha256 %s\n" % sha(text).encode())

# The same log as an archive: the base with the beginning of the segment, and pieces of it, two of which overlap.
ROOT = os.path.join(HERE, "backup-archive")


def piece(start, stop, end, first, last):
    content = segment[start:stop]
    line = b"FASTNESS-OBJECT 1 plain %d %d %s " % (len(content), len(content), sha(content).encode())
    crc = zlib.crc32(line + content)
    name = "archive/%016x-%s-%s-%016x/" % (2, "00112233445566ff", "0" * 16, 0)
    name += "%016x-%016x-%016x-%016x-%016x-%s" % (start, len(content), end, first, last, sha(content))
    put(name, line + b"%08x\n" % crc + content)


def claim(number, **fields):
    text = b"FASTNESS-OWNER 1\n" + json.dumps(fields).encode() + b"\n"
    put("owner/%016x" % number, text + b"sha256 %s\n" % sha(text).encode())


owner = dict(server="0123456789abcdef", run="00ff00ff00ff00ff", host="one", directory="/data", since=1763827200000)
claim(1, renewed=1763827200000, ended=False, **owner)
claim(2, renewed=1763827260000, ended=True, **owner)

# Frames are at 55 (to position 61), 160 (to 190) and, empty, at 343.
piece(0, 160, 61, 1763827200123, 1763827200123)
piece(0, 334, 190, 1763827200123, 1763827200456)
piece(160, 386, 190, 1763827200456, 1763827201000)
beginning = segment[:55]
manifest["id"] = "20251122T160001Z-0a4c41e0"
manifest["origin"]["kind"] = "archive"
manifest["instant"], manifest["position"] = 1763827199000, 0
manifest["base"] = entry("appendonly.aof.1.base.rdb", 1, base, [], position=0, first_time=1763827199000, last_time=1763827199000, records=0)
manifest["segments"] = [entry("appendonly.aof.2.incr.aof", 2, beginning, [], salt="00112233445566ff", position=0, end=0, records=0)]
put("repository", b"FASTNESS-REPOSITORY 1\nid example\nsha256 %s\n" % sha(b"example").encode())
text = b"FASTNESS-BACKUP 1\n" + json.dumps(manifest, indent=1).encode() + b"\n"
put("backups/" + manifest["id"], text + b"sha256 %s\n" % sha(text).encode())
