// The address of one person's machine changes in the middle of a meeting, as when it goes from one network to another:
// pictures go on both ways, in the same page. On a quiet machine within two seconds; what a busy one adds is allowed for.
//
// Needs root (network namespaces); skipped without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { longestGap, observe, story } from './lib/gaps.mjs';
import { createHosts } from './lib/hosts.mjs';
import { decodes, join } from './lib/room.mjs';
import { pontoon } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';
/** What is judged: the longest time without a new picture, milliseconds. */
const BOUND = 5_000;

let world, server;
const browsers = {};
const pages = {};

before(async () => {
    if (skip) {
        return;
    }
    world = createHosts([ 'meet', 'stays', 'moves' ]);
    const { hosts } = world;

    server = pontoon([ 'up', '--https', '443', '--http', '80', '--udp', '10000', '--log', 'info' ],
        { start: hosts.meet.spawn.bind(hosts.meet) });
    await server.line(/:443\/|https:\/\//);
    for (const [ host, name ] of [ [ 'stays', 'Ann' ], [ 'moves', 'Ben' ] ]) {
        browsers[host] = await launch({ executablePath: hosts[host].wrapper(process.env.CHROMIUM ?? '/usr/bin/chromium') });
        pages[host] = await join(browsers[host], `https://${hosts.meet.address}`, 'walk', name, { init: observe });
    }
});

after(async () => {
    await Promise.all(Object.values(browsers).map(browser => browser.close()));
    await server?.stop();
    world?.stop();
});

for (const [ what, address ] of [ [ 'another address', '10.73.0.103' ], [ 'the first one again', '10.73.0.3' ] ]) {
    test(`${what}: pictures go on at once`, { skip, timeout: 180_000 }, async t => {
        const both = Object.values(pages);

        await Promise.all(both.map(page => decodes(page, 1, { timeout: 90_000 })));
        await pages.moves.waitForTimeout(5_000);
        const from = Date.now();

        world.hosts.moves.moveTo(address);
        await pages.moves.waitForTimeout(8_000);
        await Promise.all(both.map(page => decodes(page, 1, { timeout: 90_000 })));
        const gaps = await Promise.all(both.map(page => longestGap(page, from)));

        t.diagnostic(`without pictures: ${gaps[1]} ms for who moved, ${gaps[0]} ms for who stayed`);
        t.diagnostic(`who moved: ${await story(pages.moves, from)}`);
        t.diagnostic(`who stayed: ${await story(pages.stays, from)}`);
        for (const gap of gaps) {
            assert.ok(gap <= BOUND, `${gap} ms without a picture`);
        }
    });
}
