// How long a join takes: from the start of the page load to the first picture of somebody else, step by step.
//
// node first-frame.bench.mjs [--url https://host:port] [--joins 20] [--p2p true|false] [--height 360]
// Without --url it starts the binary under test itself. It prints and judges nothing: the machine may be busy.
//
// What is measured is a page load in an open tab with everything cached. So the server's certificate counts as good
// (a browser caches nothing behind a bad one), two joins before the measured ones fill the caches, every join is in the
// same tab, and each begins once the join before it has stopped keeping the machine busy.

import { createHash, X509Certificate } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { connect } from 'node:tls';
import { parseArgs } from 'node:util';

import { launch } from './lib/browser.mjs';
import { freeTcpPort, freeUdpPort, pontoon } from './lib/server.mjs';

const { values } = parseArgs({
    options: {
        height: { type: 'string', default: '360' },
        joins: { type: 'string', default: '20' },
        p2p: { type: 'string', default: 'false' },
        url: { type: 'string' }
    }
});

/** Joins that fill the browser's caches and are not counted. */
const WARM_UP = 2;

/** Below this share of the processors' time the machine counts as calm; one who waits with a camera takes a quarter. */
const CALM = 0.35;

const STEPS = [
    [ 'scriptStarted', 'the script runs' ],
    [ 'online', 'logged in' ],
    [ 'joined', 'in the room' ],
    [ 'offered', 'the offer is there' ],
    [ 'mediaConnected', 'media is connected' ],
    [ 'firstRemoteFrame', 'first picture of somebody else' ]
];

/** Starts the server and says where it is. */
async function startServer() {
    const [ https, xmpp, udp ] = await Promise.all([ freeTcpPort(), freeTcpPort(), freeUdpPort() ]);
    const server = pontoon([ 'up', '--https', String(https), '--http', 'off', '--xmpp', String(xmpp), '--udp', String(udp) ]);

    await server.line(/joined the brewery/);

    return { server, url: `https://localhost:${https}` };
}

const { server, url } = values.url ? { url: values.url } : await startServer();
const room = `bench-${Date.now().toString(36)}`;
const options = [ 'prejoinConfig.enabled=false', `p2p.enabled=${values.p2p}`, `constraints.video.height.ideal=${values.height}` ];
const address = `${url}/${room}#${options.map(o => `config.${o}`).join('&')}`;

/** The hash by which Chromium is told that the server's certificate is good. */
async function publicKeyHash() {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port || 443), servername: hostname, rejectUnauthorized: false });

    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    const key = new X509Certificate(socket.getPeerCertificate().raw).publicKey.export({ format: 'der', type: 'spki' });

    socket.destroy();

    return createHash('sha256').update(key).digest('base64');
}

/** Opens a tab in a browser of its own: the one who waits must not share processes with the one who comes. */
async function openTab(keyHash) {
    const args = [
        `--ignore-certificate-errors-spki-list=${keyHash}`,

        // The browser's own start page, made ready beside the first page of a window, is not part of a join.
        '--disable-features=PreloadTopChromeWebUI'
    ];
    const browser = await launch({ args });
    const page = await (await browser.newContext()).newPage();

    return { browser, page };
}

/** Share of the processors' time that was in use over some milliseconds. */
async function busy(ms) {
    const sum = () => cpus().reduce(([ idle, all ], { times }) =>
        [ idle + times.idle, all + Object.values(times).reduce((a, b) => a + b) ], [ 0, 0 ]);
    const [ idleBefore, allBefore ] = sum();

    await new Promise(done => setTimeout(done, ms));
    const [ idle, all ] = sum();

    return 1 - ((idle - idleBefore) / (all - allBefore));
}

/** Waits, ten seconds at most, until the browsers have done what the last join left to do. */
async function calm() {
    for (let i = 0; i < 25 && await busy(400) > CALM; i++);
}

/** Joins in the tab, leaves again and returns when each step was. */
async function join(page) {
    await page.goto('about:blank');
    await calm();
    await page.goto(address);
    await page.waitForFunction(() => globalThis.pontoon?.timings().firstRemoteFrame !== undefined);
    const timings = await page.evaluate(() => globalThis.pontoon.timings());

    await page.click('[data-testid=leave]');

    return timings;
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

const keyHash = await publicKeyHash();
const waiting = await openTab(keyHash);
const coming = await openTab(keyHash);
const results = [];

try {
    await waiting.page.goto(address);
    await waiting.page.waitForFunction(() => globalThis.pontoon?.state().connection === 'joined');
    for (let i = 0; i < WARM_UP + Number(values.joins); i++) {
        const timings = await join(coming.page);

        if (i >= WARM_UP) results.push(timings);
        await waiting.page.waitForFunction(() => globalThis.pontoon.state().people === 1);
    }
} finally {
    await Promise.all([ waiting.browser.close(), coming.browser.close() ]);
    await server?.stop();
}

console.log(`${results.length} joins, p2p ${values.p2p}, ${values.height} lines, load ${loadavg()[0].toFixed(1)}; milliseconds since the page began to load`);
for (const [ key, words ] of STEPS) {
    const sorted = results.map(r => r[key]).filter(v => v !== undefined).sort((a, b) => a - b);

    if (sorted.length > 0) {
        const [ p10, p50, p90 ] = [ 0.1, 0.5, 0.9 ].map(q => String(quantile(sorted, q)).padStart(6));

        console.log(`p10 ${p10}   p50 ${p50}   p90 ${p90}   ${words}`);
    }
}
