#!/usr/bin/env python3
"""Draws what `stalls.py --timeline FILE.json` kept: the longest latency of every 20 ms, one panel per server.

usage: plot.py FILE.json > FILE.svg
"""
import json
import math
import sys

WIDTH, PANEL, LEFT, BUCKET = 860, 150, 70, 0.02
LOW, HIGH = 0.05, 200.0  # Milliseconds, on a logarithmic scale.


def main():
    with open(sys.argv[1]) as file:
        data = json.load(file)
    servers = data["servers"]
    start = -2.0
    end = max(point[0] for server in servers for point in server["points"])

    def across(seconds):
        return LEFT + (seconds - start) / (end - start) * (WIDTH - LEFT - 20)

    def down(milliseconds, top):
        inside = min(max(milliseconds, LOW), HIGH)
        return top + PANEL - 30 - math.log(inside / LOW) / math.log(HIGH / LOW) * (PANEL - 50)

    height = PANEL * len(servers) + 30
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">']
    out.append(f'<rect width="{WIDTH}" height="{height}" fill="white"/>')
    for number, server in enumerate(servers):
        top = 10 + number * PANEL
        begin, finish = across(0), across(min(server["took"], end))
        floor = down(LOW, top)
        out.append(f'<rect x="{begin:.1f}" y="{top + 20}" width="{finish - begin:.1f}" height="{floor - top - 20:.1f}" fill="#eef"/>')
        title = f'{server["name"]}: {data["job"].upper()}, {server["took"]:.1f} s'
        out.append(f'<text x="{LEFT}" y="{top + 12}">{title}</text>')
        for line in (0.1, 1, 10, 100):
            y = down(line, top)
            out.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>')
            out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{line} ms</text>')
        longest = {}
        for at, latency in server["points"]:
            if at >= start:
                bucket = int((at - start) / BUCKET)
                longest[bucket] = max(longest.get(bucket, 0.0), latency * 1e3)
        path = " ".join(f"{across(start + b * BUCKET):.1f},{down(v, top):.1f}" for b, v in sorted(longest.items()))
        out.append(f'<polyline points="{path}" fill="none" stroke="#c33" stroke-width="1"/>')
    for second in range(int(start), int(end) + 1):
        out.append(f'<text x="{across(second):.1f}" y="{height - 12}" text-anchor="middle">{second} s</text>')
    out.append("</svg>")
    print("\n".join(out))


main()
