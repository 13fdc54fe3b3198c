// A web application's sessions (express-session with connect-redis) and Socket.IO's servers that
// reach each other's sockets through the server, both before and after it was killed.

'use strict';
const http = require('node:http');
const session = require('express-session');
const { RedisStore } = require('connect-redis');
const { createClient } = require('redis');
const Redis = require('ioredis');
const { Server } = require('socket.io');
const { createAdapter } = require('@socket.io/redis-adapter');
const { io } = require('socket.io-client');
const { host, port, say, outcome, crash, until, assert, main } = require('./driver.js');

async function connected() {
  const socket = { reconnectStrategy: () => 20 };
  const client = createClient({ url: `redis://${host}:${port}`, socket });
  client.on('error', () => {});
  return client.connect();
}

async function listening(server) {
  await new Promise((resolve) => server.listen(0, host, resolve));
  return server.address().port;
}

async function webApplication() {
  const client = await connected();
  const middleware = session({
    store: new RedisStore({ client, ttl: 100 }), secret: 'a secret', resave: false, saveUninitialized: false,
  });
  const at = await listening(http.createServer((request, response) => {
    middleware(request, response, (error) => {
      if (error) return response.writeHead(500).end(String(error));
      request.session.visits = (request.session.visits ?? 0) + 1;
      return response.end(String(request.session.visits));
    });
  }));
  let cookie;
  return async () => {
    const response = await fetch(`http://${host}:${at}/`, { headers: cookie ? { cookie } : {} });
    cookie ??= response.headers.get('set-cookie').split(';')[0];
    return response.text();
  };
}

async function socketServer() {
  const publisher = new Redis({ host, port, retryStrategy: () => 20 });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) client.on('error', () => {});
  const server = http.createServer();
  const sockets = new Server(server, { adapter: createAdapter(publisher, subscriber) });
  sockets.on('connection', (socket) => socket.join('room'));
  return { sockets, at: await listening(server) };
}

main(async () => {
  const visit = await webApplication();
  say('visits', [await visit(), await visit()]);
  const [one, other] = [await socketServer(), await socketServer()];
  const browser = io(`http://${host}:${one.at}`);
  const heard = [];
  browser.on('news', (text) => heard.push(text));
  const reaches = async (text) => {
    // A server that just came up may not have its subscriptions yet.
    await until(`${text} is heard`, async () => {
      other.sockets.to('room').emit('news', text);
      return heard.includes(text);
    });
    say('heard', text);
  };
  await until('the socket is in its room', async () => {
    const found = await outcome(other.sockets.in('room').fetchSockets());
    return found.length === 1;
  });
  await reaches('before');
  await crash();
  await until('the store is back', async () => /^\d+$/.test(await visit()));
  const visits = Number(await visit());
  assert(visits >= 4, `${visits} visits: the session was lost`);
  await reaches('after');
  other.sockets.in('room').disconnectSockets();
  await until('the socket is closed', () => !browser.connected);
});
