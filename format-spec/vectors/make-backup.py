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
