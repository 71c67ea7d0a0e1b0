// The parts on separate hosts: a meet node and two bridges behind firewalls, and people on a host of their own.
//
// Needs root (network namespaces and firewalls); skipped without.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { launch } from './lib/browser.mjs';
import { createHosts } from './lib/hosts.mjs';
import { decodes, join as enter, until } from './lib/room.mjs';
import { binary, pontoon } from './lib/server.mjs';

const skip = process.getuid() === 0 ? false : 'needs root';

let world, browser, meet;
const bridges = {};

/** In the page: notes when a new frame of anybody else was shown. */
function watchFrames() {
    const counts = new WeakMap();

    globalThis.shown = [];
    setInterval(() => {
        for (const video of document.querySelectorAll('[data-testid=tile][data-local=false] video')) {
            const count = video.getVideoPlaybackQuality().totalVideoFrames;

            // An element that plays another track counts from nothing again.
            if (count > 0 && count !== counts.get(video)) {
                globalThis.shown.push(Date.now());
            }
            counts.set(video, count);
        }
    }, 20);
}

/** Enters the room in a page that notes its frames. */
function join(room, name) {
    return enter(browser, `https://${world.hosts.meet.address}`, room, name, { init: watchFrames });
}

/** Longest time without a new picture in the page since `from`. */
async function longestGap(page, from) {
    const { shown, now } = await page.evaluate(() => ({ shown: globalThis.shown, now: Date.now() }));

    return [ ...shown.filter(at => at >= from), now ]
        .reduce(([ gap, last ], at) => [ Math.max(gap, at - last), at ], [ 0, from ])[0];
}

/** Name of the bridge whose log says that it serves a conference that the log said nothing of before. */
async function bridgeOf(already) {
    return Promise.any(Object.entries(bridges)
        .filter(([ name ]) => !already.includes(name))
        .map(([ name, bridge ]) => bridge.line(/conference created/).then(() => name)));
}

before(async () => {
    if (skip) {
        return;
    }
    world = createHosts([ 'meet', 'bridge1', 'bridge2', 'people' ]);
    const { hosts } = world;

    hosts.meet.firewall([
        'tcp dport { 80, 443 }',
        `ip saddr { ${hosts.bridge1.address}, ${hosts.bridge2.address} } tcp dport 5222`
    ]);
    hosts.bridge1.firewall([ 'udp dport 10000' ]);
    hosts.bridge2.firewall([ 'udp dport 10000' ]);
    hosts.people.firewall([]);
    // At debug the log says by which word a room is called.
    meet = pontoon([ 'meet', '--log', 'info,focus=debug' ], { start: hosts.meet.spawn.bind(hosts.meet) });
    const [ , token ] = await meet.line(/pontoon bridge --join (\S+)/);

    for (const name of [ 'bridge1', 'bridge2' ]) {
        const start = hosts[name].spawn.bind(hosts[name]);

        bridges[name] = pontoon([ 'bridge', '--join', token, '--log', 'info' ], { start });
        await bridges[name].line(/is ready/);
        await bridges[name].line(/joined the brewery/);
    }
    browser = await launch({ executablePath: hosts.people.wrapper(process.env.CHROMIUM ?? '/usr/bin/chromium') });
});

after(async () => {
    await browser?.close();
    for (const process of [ ...Object.values(bridges), meet ]) {
        if (process && process.child.exitCode === null && process.child.signalCode === null) {
            await process.stop();
        }
    }
    world?.stop();
});

/** In the page: for each picture of somebody else, the longest time that it stood still since `from`. */
function watchStills() {
    const last = new Map();

    globalThis.stills = {};
    globalThis.watched = () => { globalThis.stills = {}; };
    const look = now => {
        for (const tile of document.querySelectorAll('[data-testid=tile][data-local=false]')) {
            const id = tile.dataset.endpointId;
            // While one element takes the place of another, either may show it.
            const counts = [ ...tile.querySelectorAll('video') ].map(v => v.getVideoPlaybackQuality().totalVideoFrames);
            const state = counts.join(' ');
            const before = last.get(id);

            if (before?.state !== state) {
                const gap = before ? now - before.at : 0;

                globalThis.stills[id] = Math.max(globalThis.stills[id] ?? 0, gap);
                last.set(id, { state, at: now });
            }
        }
        requestAnimationFrame(look);
    };

    requestAnimationFrame(look);
}

test('a drained bridge is left by three people without a gap', { skip }, async t => {
    const pages = [];

    for (const name of [ 'Eva', 'Fin', 'Gus' ]) {
        pages.push(await enter(browser, `https://${world.hosts.meet.address}`, 'west', name, { init: watchStills }));
    }
    await Promise.all(pages.map(page => decodes(page, 2)));
    await pages[0].waitForTimeout(3_000);
    const from = await bridgeOf([]);
    const to = Object.keys(bridges).find(name => name !== from);
    const id = /bridge (\S+) is ready/.exec(bridges[from].lines.join('\n'))[1];
    const stills = async () => Promise.all(pages.map(page => page.evaluate(() => {
        const { stills } = globalThis;

        globalThis.watched();

        return Math.round(Math.max(...Object.values(stills)));
    })));

    await stills();
    await pages[0].waitForTimeout(4_000);
    t.diagnostic(`longest stills without a move: ${(await stills()).join(', ')} ms`);
    const order = drain => execFileSync(
        binary, [ 'drain', id, ...drain ], { env: { ...process.env, PONTOON_STATE_DIR: meet.stateDir }, encoding: 'utf8' });

    order([ '--stay' ]);
    const left = () => bridges[from].lines.filter(line => /conference (ended|expired)|conference .*ends/.test(line)).length;

    await Promise.all(pages.map(page => until(page, () => globalThis.pontoon.state().media === 'connected')));
    await bridges[to].line(/conference created/);
    await pages[0].waitForTimeout(8_000);
    t.diagnostic(`the bridge says that conferences ended: ${left()}; longest stills: ${(await stills()).join(', ')} ms`);
    await Promise.all(pages.map(page => decodes(page, 2)));
    order([ '--off' ]);
    await Promise.all(pages.map(page => page.context().close()));
});

test('two rooms land on different bridges, and one survives the death of its bridge', { skip }, async t => {
    const first = await Promise.all([ join('north', 'Ann'), join('north', 'Ben') ]);

    await Promise.all(first.map(page => decodes(page, 1)));
    const north = await bridgeOf([]);

    const second = await Promise.all([ join('south', 'Cem'), join('south', 'Dia') ]);

    await Promise.all(second.map(page => decodes(page, 1)));
    const south = await bridgeOf([ north ]);

    assert.notEqual(north, south);
    const chosen = meet.lines.filter(line => line.includes('is placed on bridge'));

    for (const [ room, name ] of [ [ 'north', north ], [ 'south', south ] ]) {
        const id = /bridge (\S+) is ready/.exec(bridges[name].lines.join('\n'))[1];
        const word = new RegExp(`(room-[0-9a-f]+) is ${room}@`).exec(meet.lines.join('\n'))[1];
        const line = chosen.find(text => text.includes(word));

        assert.ok(line?.includes(id), `the meet node says that ${room} went to ${id}: ${chosen.join('\n')}`);
    }

    // The room of the bridge that dies comes back on the other one, in the same page.
    await Promise.all([ ...first, ...second ].map(page => page.evaluate(() => { globalThis.samePage = true; })));
    const { lines } = bridges[south];
    const transports = () => lines.filter(line => line.includes('transport connected')).length;
    const enough = transports() + first.length;
    const killed = Date.now();

    bridges[north].child.kill('SIGKILL');
    while (transports() < enough) {
        await first[0].waitForTimeout(50);
    }
    await Promise.all(first.map(page => decodes(page, 1)));
    const gaps = await Promise.all(first.map(page => longestGap(page, killed)));

    t.diagnostic(`pictures were back after ${gaps.join(' and ')} ms`);
    for (const page of [ ...first, ...second ]) {
        assert.ok(await page.evaluate(() => globalThis.samePage), 'no page was loaded again');
    }
    await Promise.all(second.map(page => decodes(page, 1)));
    const others = await Promise.all(second.map(page => longestGap(page, killed)));

    t.diagnostic(`the other room's longest time without a picture: ${others.join(' and ')} ms`);
});

test('the firewalls hold', { skip }, () => {
    const { meet: meetHost, people, bridge1 } = world.hosts;
    const reach = (from, host, port, seconds = 10) => {
        try {
            from.exec('timeout', [ String(seconds), 'bash', '-c', `exec 3<>/dev/tcp/${host.address}/${port}` ]);

            return true;
        } catch {
            return false;
        }
    };

    assert.ok(reach(people, meetHost, 443));
    assert.ok(reach(people, meetHost, 80));
    assert.ok(reach(bridge1, meetHost, 5222));
    assert.ok(!reach(people, meetHost, 5222, 2), 'only bridges reach the XMPP port');
});
