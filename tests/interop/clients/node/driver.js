// What the drivers share: where the server is, how a reply is shown, how the server is crashed.
//
// A driver is started with the server's port. What it prints is compared with what the same driver
// prints on a real Redis; what must hold on any server it asserts. The line `@crash` asks the test
// to kill -9 the server and to start it again on the same port and data; the test answers with a
// line when the server is up.

'use strict';
const { inspect } = require('node:util');
const readline = require('node:readline');

const host = '127.0.0.1';
const port = Number(process.argv[2]);

function shown(value) {
  if (value instanceof Error) return `${value.constructor.name}: ${value.message}`;
  if (value instanceof Set) value = [...value].sort();
  return inspect(value, { depth: 9, breakLength: Infinity, maxArrayLength: 200 });
}

function say(what, value) {
  console.log(value === undefined && arguments.length < 2 ? what : `${what} ${shown(value)}`);
}

/// The value or the error that a promise ends with.
async function outcome(promise) {
  try {
    return await promise;
  } catch (error) {
    return error;
  }
}

/// Calls the methods of a client that a table lists, and says what each answers. The order in a
/// reply that has none is put right by `{ sorted: true }` at a line's end, and `{ hidden: true }`
/// says only what kind of value it was.
async function callAll(client, title, lines) {
  say(`== ${title}`);
  for (const line of lines) {
    const last = line[line.length - 1];
    const how = last && (last.sorted || last.hidden) ? line.pop() : {};
    const [method, ...args] = line;
    let reply = await outcome(Promise.resolve().then(() => client[method](...args)));
    if (how.sorted && Array.isArray(reply)) reply = [...reply].sort();
    if (how.hidden && !(reply instanceof Error)) reply = typeof reply;
    say(`${method} ${shown(args)} ->`, reply);
  }
}

const sorted = { sorted: true };
const hidden = { hidden: true };

const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/// Ends when the server was killed and is up again.
async function crash() {
  console.log('@crash');
  if ((await answers.next()).done) throw new Error('the test is gone');
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/// Waits until a condition holds, at most `seconds`.
async function until(what, condition, seconds = 20) {
  const deadline = Date.now() + seconds * 1000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(5);
  }
}

function assert(condition, message) {
  if (!condition) throw new Error(`assertion failed: ${message}`);
}

/// Runs a driver to its end; open connections do not keep it.
function main(driver) {
  driver().then(
    () => process.exit(0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = {
  host, port, say, shown, outcome, callAll, sorted, hidden, crash, sleep, until, assert, main,
};
