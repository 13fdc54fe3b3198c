#!/usr/bin/env python3
"""Makes the aof-* and manifest-* vectors, independently of the code that they test.

The .txt files beside them are written by hand from format-spec/aof.md: one line per unit (offset in the file,
position behind it, milliseconds, checked or not, commands), then the end of what is believed, then the error.
Run it in this directory; vectors that exist are never changed, new ones get new names.
"""
import zlib
def rec(*a):
    a=[x.encode() if isinstance(x,str) else x for x in a]
    return b"*%d\r\n"%len(a)+b"".join(b"$%d\r\n%s\r\n"%(len(x),x) for x in a)
SALT="00112233445566ff"; PREV="0000000000000000"
h=f"#FASTNESS 1 {SALT} {PREV} ".encode(); h+=b"%08x\n"%zlib.crc32(h)
pos=0; crc=0; synced=0
def frame(payload,first,millis):
    global pos,crc
    line=(f"#L {pos} " if first else "#F ")+f"{pos} {pos-synced} {millis} {len(payload)} {crc:08x} "
    line=line.encode()
    crc=zlib.crc32(SALT.encode()+line+payload)
    pos+=len(payload)
    return line+b"%08x\n"%crc+payload
p1=rec("SELECT","0")+rec("SET","greeting","hello")
p2=rec("MULTI")+rec("SELECT","3")+rec("INCR","visits")+rec("PEXPIREAT","visits","1763827260000")+rec("EXEC")
f1=frame(p1,True,1763827200123)
f2=frame(p2,False,1763827200456)
synced=pos
f3=frame(b"",False,1763827201000)
whole=h+f1+f2+b"########\n"+f3
open("aof-framed.aof","wb").write(whole)
open("aof-torn.aof","wb").write(h+f1+f2[:-20]+b"\0"*64)
damaged=bytearray(whole); damaged[whole.index(b"visits")]^=1
open("aof-damaged.aof","wb").write(bytes(damaged))
open("aof-redis.aof","wb").write(b"#TS:1763827200\r\n"+rec("SELECT","0")+rec("SET","greeting","hello")+rec("MULTI")+rec("INCR","visits")+rec("EXEC")+rec("SET","torn","x")[:-9])
m=b"file appendonly.aof.2.base.rdb seq 2 type b position 57\nfile appendonly.aof.1.base.rdb seq 1 type h\nfile appendonly.aof.1.incr.aof seq 1 type h salt 00000000000000aa\nfile appendonly.aof.2.incr.aof seq 2 type i salt 00112233445566ff\n"
m=b"#FASTNESS-MANIFEST 1 %08x\n"%zlib.crc32(m)+m
open("manifest-checked.manifest","wb").write(m)
open("manifest-redis.manifest","wb").write(b"file appendonly.aof.1.base.rdb seq 1 type b\nfile \"my log.1.incr.aof\" seq 1 type i startoffset 0\n")
e=b"file appendonly.aof.2.base.rdb seq 2 type b position 57\nfile appendonly.aof.2.incr.aof seq 2 type i salt 00112233445566ff end 190\nfile appendonly.aof.3.incr.aof seq 3 type i salt 00000000000000aa\n"
e=b"#FASTNESS-MANIFEST 1 %08x\n"%zlib.crc32(e)+e
open("manifest-ended.manifest","wb").write(e)
base=open("rdb-empty.rdb","rb").read()
b=b"file appendonly.aof.1.base.rdb seq 1 type b position 0 size %d crc %08x\nfile appendonly.aof.1.incr.aof seq 1 type i salt 00112233445566ff\n"%(len(base),zlib.crc32(base))
b=b"#FASTNESS-MANIFEST 1 %08x\n"%zlib.crc32(b)+b
open("manifest-bound.manifest","wb").write(b)
