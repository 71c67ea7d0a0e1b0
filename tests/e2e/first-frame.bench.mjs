// How long a join takes: from the start of the page load to the first picture of somebody else, step by step.
//
// node first-frame.bench.mjs [--url https://host:port] [--joins 20] [--p2p true|false] [--height 360]
// Without --url it starts the binary under test itself. It prints and judges nothing: the machine may be busy.

import { loadavg } from 'node:os';
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

/** Opens the room in a page with storage of its own. */
async function open(browser) {
    const context = await browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();

    await page.goto(address);

    return { context, page };
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))];

// Two browsers: the one who waits must not share a main process with those who come.
const waiting = await launch();
const coming = await launch();
const results = [];

try {
    const { page: host } = await open(waiting);

    await host.waitForFunction(() => globalThis.pontoon?.state().connection === 'joined');
    for (let i = 0; i < Number(values.joins); i++) {
        const { context, page } = await open(coming);

        await page.waitForFunction(() => globalThis.pontoon?.timings().firstRemoteFrame !== undefined);
        results.push(await page.evaluate(() => globalThis.pontoon.timings()));
        await page.click('[data-testid=leave]');
        await context.close();
        await host.waitForFunction(() => globalThis.pontoon.state().people === 1);
    }
} finally {
    await Promise.all([ waiting.close(), coming.close() ]);
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
