// The cable that media is measured over: it carries, delays, loses and limits as it is told.
//
// Needs root (network namespaces and TAP devices); skipped without.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { createHosts } from './lib/hosts.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';

let world;

/** Answers every datagram. */
const ECHO = `require('node:dgram').createSocket('udp4')
    .on('message', function (message, { port, address }) { this.send(message, port, address); })
    .bind(7, () => console.log('ready'));`;

/** Sends datagrams, 50 a second, and prints how many come back and the milliseconds of the fastest. */
const ASK = `const [ , host, count, size ] = process.argv;
const socket = require('node:dgram').createSocket('udp4');
let sent = 0, back = 0, fastest = Infinity;
socket.on('message', message => {
    back += 1;
    fastest = Math.min(fastest, performance.now() - message.readDoubleBE(0));
});
const timer = setInterval(() => {
    const message = Buffer.alloc(Number(size));
    message.writeDoubleBE(performance.now(), 0);
    socket.send(message, 7, host);
    sent += 1;
    if (sent === Number(count)) {
        clearInterval(timer);
        setTimeout(() => { console.log(JSON.stringify({ back, fastest })); socket.close(); }, 1000);
    }
}, 20);`;

before(async () => {
    if (skip) {
        return;
    }
    world = createHosts([ 'near', 'far' ], { cables: [ 'far' ] });
    const echo = world.hosts.far.spawn(process.execPath, [ '-e', ECHO ], { stdio: [ 'ignore', 'pipe', 'inherit' ] });

    await once(echo.stdout, 'data');
});

after(() => world?.stop());

/** Sends so many datagrams of this size and waits for the answers; they must not block this process, whose cable it is. */
async function ask(count, size = 50) {
    const { near, far } = world.hosts;
    const child = near.spawn(process.execPath, [ '-e', ASK, far.address, count, size ], { stdio: [ 'ignore', 'pipe', 'inherit' ] });
    const [ said ] = await once(child.stdout, 'data');

    return JSON.parse(said);
}

test('a cable without a model carries all', { skip }, async () => {
    assert.equal((await ask(20)).back, 20);
});

test('delay is that of both ways, loss that of one', { skip }, async () => {
    const { cable } = world.hosts.far;

    await cable.set({ down: { delay_ms: 30 }, up: { delay_ms: 20 } });
    assert.ok((await ask(10)).fastest >= 50);
    await cable.set({ down: { loss: 0.5 }, up: {} });
    const { back } = await ask(100);

    assert.ok(back > 20 && back < 80, `${back} of 100`);
});

test('a rate lets so many frames pass, and counts what it drops', { skip }, async () => {
    const { cable } = world.hosts.far;
    const before = await cable.set({ down: { rate: 100_000, queue_ms: 100 }, up: {} });
    // 50 frames a second of 1,042 bytes are four times that.
    const { back } = await ask(100, 1000);
    const { down } = await cable.counts();

    assert.ok(back > 10 && back < 60, `${back} of 100`);
    assert.ok(down.dropped - before.down.dropped >= 40, JSON.stringify(down));
});
