"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const NS = "http://www.w3.org/2000/svg";

  function make(tag, attributes, text, parent) {
    const svg = ["g", "rect", "text", "clipPath"].includes(tag);
    const element = svg ? document.createElementNS(NS, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    if (text !== undefined && text !== null) element.textContent = text;
    if (parent) parent.appendChild(element);
    return element;
  }

  const whole = (n) => n.toLocaleString("en-US");
  function bytes(n) {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let unit = 0;
    while (n >= 1024 && unit + 1 < units.length) { n /= 1024; unit += 1; }
    return (unit === 0 || n >= 100 ? Math.round(n) : n.toFixed(1)) + " " + units[unit];
  }
  const percent = (part, all) => all === 0 ? "0 %" : (part * 100 / all).toFixed(part * 10 >= all ? 0 : 1) + " %";
  // Keys that are no text come in base64.
  function shown(key) {
    if (typeof key === "string") return key;
    return Array.from(atob(key.base64), (char) => {
      const code = char.charCodeAt(0);
      return code >= 32 && code < 127 ? char : "\\x" + code.toString(16).padStart(2, "0");
    }).join("");
  }

  at("title").textContent = data.input;
  document.title = "fastness inspect " + data.input;
  at("when").textContent = "As of " + new Date(data.at).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  for (const [value, label] of [
    [whole(data.keys), "keys"],
    [bytes(data.memory), "memory of keys and values"],
    [data.keys ? bytes(data.memory / data.keys) : "-", "average per key"],
    [percent(data.expires, data.keys), "of keys expire"],
    [whole(data.databases.length), data.databases.length === 1 ? "database" : "databases"],
    [whole(data.functions), "function libraries"],
  ]) {
    const tile = make("div", { class: "tile" }, null, at("tiles"));
    make("b", {}, value, tile);
    make("span", {}, label, tile);
  }

  function bars(id, rows, measure) {
    const box = make("div", { class: "bars" }, null, at(id));
    const most = Math.max(1, ...rows.map((row) => row[measure]));
    for (const row of rows) {
      make("span", { class: "name" }, row.name, box);
      const track = make("span", { class: "track" }, null, box);
      const fill = make("span", { class: row[measure] ? "fill" : "fill none" }, null, track);
      fill.style.width = (row[measure] * 100 / most) + "%";
      if (row.color) fill.style.background = row.color;
      const value = row.keys ? whole(row.keys) + (row.keys === 1 ? " key, " : " keys, ") + bytes(row.memory) : "-";
      make("span", { class: "value" }, value, box);
    }
    if (!rows.length) make("span", { class: "value" }, "no keys", box);
  }
  const KIND_COLORS = {
    string: "#3d6fd8", list: "#2a9d8f", set: "#c98a1b", zset: "#8a5cc2", hash: "#d1495b", stream: "#5b8c3a",
  };
  bars("types", data.types.map((of) => ({ ...of, name: of.type, color: KIND_COLORS[of.type] })), "memory");
  bars("encodings", data.types.flatMap((of) => of.encodings.map((encoding) => (
    { ...encoding, name: of.type + ", " + encoding.encoding, color: KIND_COLORS[of.type] }))), "memory");
  const upTo = (row) => /^(more|none|expired)$/.test(row.up_to) ? row.up_to : "up to " + row.up_to;
  bars("ttl", data.ttl.map((row) => ({ ...row, name: upTo(row) })), "keys");
  bars("sizes", data.sizes.map((row) => ({ ...row, name: upTo(row) })), "keys");

  // Biggest keys.
  function biggest(kind) {
    const table = at("biggest");
    table.replaceChildren();
    const head = make("tr", {}, null, make("thead", {}, null, table));
    const columns = ["Key", "Memory", kind === "string" ? "Bytes" : "Elements", "Encoding", "Database", "Expires"];
    for (const name of columns) make("th", {}, name, head);
    const body = make("tbody", {}, null, table);
    const rows = data.types.filter((of) => of.type === kind).flatMap((of) => of.biggest);
    for (const row of rows) {
      const line = make("tr", {}, null, body);
      make("td", { class: "key" }, shown(row.key), line);
      const expires = row.expire_at ? new Date(row.expire_at).toISOString().slice(0, 19).replace("T", " ") : "never";
      for (const text of [bytes(row.memory), whole(row.elements), row.encoding, row.db, expires]) {
        make("td", {}, text, line);
      }
    }
    for (const button of at("kinds").children) {
      button.setAttribute("aria-selected", String(button.textContent === kind));
    }
  }
  for (const of of data.types) {
    const button = make("button", { type: "button", role: "tab" }, of.type, at("kinds"));
    button.addEventListener("click", () => biggest(of.type));
  }
  const heaviest = [...data.types].sort((one, other) => other.memory - one.memory)[0];
  if (heaviest) biggest(heaviest.type);

  // Keys that are alike.
  function table(id, columns, rows) {
    const head = make("tr", {}, null, make("thead", {}, null, at(id)));
    for (const name of columns) make("th", {}, name, head);
    const body = make("tbody", {}, null, at(id));
    for (const row of rows) {
      const line = make("tr", {}, null, body);
      row.forEach((text, index) => make("td", index || id === "databases" ? {} : { class: "key" }, text, line));
    }
  }
  table("patterns", ["Keys", "Number", "Memory", "Share", "Average"], data.patterns.slice(0, 15).map((of) => [
    shown(of.pattern), whole(of.keys), bytes(of.memory), percent(of.memory, data.memory), bytes(of.memory / of.keys)]));

  // Databases.
  table("databases", ["Database", "Keys", "Of them expire", "Memory"], data.databases.map((of) => [
    of.db, whole(of.keys), whole(of.expires), bytes(of.memory)]));

  // The map: a squarified treemap (Bruls, Huizing, van Wijk 2000) of one prefix at a time.
  const HUES = [216, 172, 36, 268, 352, 98, 200, 20, 300, 140, 48, 240];
  const root = { ...data.prefixes.tree, name: "" };
  let place = [root];

  function boxes(node) {
    const below = (node.prefixes || []).map((child) => ({ ...child, name: shown(child.part) }));
    const keys = node.keys - below.reduce((sum, child) => sum + child.keys, 0);
    const memory = node.memory - below.reduce((sum, child) => sum + child.memory, 0);
    if (keys > 0) {
      const more = node.more_prefixes || 0;
      const name = more ? "(" + whole(more) + " more prefixes and keys)" : "(keys)";
      below.push({ name, keys, memory, rest: true });
    }
    return below.filter((child) => child.memory > 0).sort((one, other) => other.memory - one.memory);
  }

  function squarify(items, x, y, width, height, emit) {
    const sum = items.reduce((total, item) => total + item.memory, 0);
    const scale = width * height / sum;
    const worst = (row, side) => {
      const areas = row.map((item) => item.memory * scale);
      const total = areas.reduce((one, other) => one + other, 0);
      return Math.max(side * side * Math.max(...areas) / (total * total), total * total / (side * side * Math.min(...areas)));
    };
    let left = items.slice();
    while (left.length) {
      const side = Math.max(Math.min(width, height), 0.001);
      let count = 1;
      while (count < left.length && worst(left.slice(0, count + 1), side) <= worst(left.slice(0, count), side)) count += 1;
      const row = left.slice(0, count);
      left = left.slice(count);
      const thick = row.reduce((total, item) => total + item.memory, 0) * scale / side;
      let along = 0;
      for (const item of row) {
        const length = item.memory * scale / thick;
        if (width >= height) emit(item, x, y + along, thick, length);
        else emit(item, x + along, y, length, thick);
        along += length;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    }
  }

  const tip = at("tip");
  function point(event, text) {
    tip.textContent = text;
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, window.innerWidth - tip.offsetWidth - 8);
    const top = Math.min(event.clientY + 14, window.innerHeight - tip.offsetHeight - 8);
    tip.style.left = left + "px";
    tip.style.top = top + "px";
  }

  function label(group, text, size, x, y, width, height) {
    const fits = Math.floor((width - 10) / 7.4);
    if (fits < 3 || height < 18) return;
    make("text", { x: x + 6, y: y + 15 }, text.length > fits ? text.slice(0, fits - 1) + "\u2026" : text, group);
    if (height >= 36 && size.length <= fits) make("text", { x: x + 6, y: y + 30, class: "small" }, size, group);
  }

  function draw() {
    const map = at("map");
    const node = place[place.length - 1];
    const prefix = place.map((step) => step.name).join("");
    map.replaceChildren();
    const width = map.clientWidth || 1160, height = map.clientHeight || 460;
    map.setAttribute("viewBox", "0 0 " + width + " " + height);
    const shownBoxes = boxes(node);
    shownBoxes.forEach((item, index) => {
      const base = place.length === 1 ? index : (place[1].hue || 0);
      item.hue = place.length === 1 ? index % HUES.length : base;
      item.light = item.rest ? 52 : 40 + (place.length === 1 ? 0 : (index * 5) % 16);
    });
    if (shownBoxes.length) {
      squarify(shownBoxes, 0, 0, width, height, (item, x, y, w, h) => {
        if (w < 1 || h < 1) return;
        const deep = !item.rest && boxes(item).some((below) => !below.rest);
        const group = make("g", { class: deep ? "box deep" : "box", tabindex: deep ? 0 : -1 }, null, map);
        const color = item.rest ? "hsl(215 10% 52%)" : "hsl(" + HUES[item.hue] + " 52% " + item.light + "%)";
        make("rect", { class: "face", x, y, width: w, height: h, rx: 3, fill: color }, null, group);
        const size = bytes(item.memory) + ", " + percent(item.memory, data.memory);
        if (deep && w > 90 && h > 70) {
          // A look inside.
          squarify(boxes(item), x + 4, y + 38, w - 8, h - 42, (inner, ix, iy, iw, ih) => {
            if (iw < 2 || ih < 2) return;
            const fill = inner.rest ? "rgba(0,0,0,.12)" : "rgba(255,255,255,.17)";
            make("rect", { x: ix + 1, y: iy + 1, width: Math.max(iw - 2, 1), height: Math.max(ih - 2, 1), rx: 2, fill, style: "stroke:none" }, null, group);
            const fits = Math.floor((iw - 8) / 6.6);
            if (!inner.rest && fits >= 3 && ih >= 17) {
              const text = inner.name.length > fits ? inner.name.slice(0, fits - 1) + "\u2026" : inner.name;
              make("text", { x: ix + 5, y: iy + 13, class: "small" }, text, group);
            }
          });
        }
        label(group, item.name, size, x, y, w, h);
        const full = (item.rest ? prefix + " " + item.name : prefix + item.name) +
          ": " + whole(item.keys) + (item.keys === 1 ? " key, " : " keys, ") + size;
        make("title", {}, null, null);
        group.setAttribute("aria-label", full);
        group.addEventListener("mousemove", (event) => point(event, full));
        group.addEventListener("mouseleave", () => { tip.hidden = true; });
        if (deep) {
          const enter = () => { tip.hidden = true; place.push(item); draw(); };
          group.addEventListener("click", enter);
          group.addEventListener("keydown", (event) => { if (event.key === "Enter") enter(); });
        }
      });
    }
    const path = at("path");
    path.replaceChildren();
    place.forEach((step, index) => {
      const name = index === 0 ? "all keys" : step.name;
      if (index > 0) path.append(" \u203a ");
      if (index + 1 === place.length) return make("b", {}, name, path);
      make("button", { type: "button" }, name, path).addEventListener("click", () => {
        place = place.slice(0, index + 1);
        draw();
      });
    });
    path.append("  (" + whole(node.keys) + " keys, " + bytes(node.memory) + ")");
  }
  at("mapnote").textContent = data.prefixes.small_ones_missing
    ? "There are very many prefixes; small ones were left out." : "";
  draw();
  let waiting = 0;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(draw, 120); });
  document.body.dataset.drawn = "yes";
})();
