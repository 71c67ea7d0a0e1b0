// Firefox with fake devices, over WebDriver BiDi: Playwright drives none but its own builds. Its pages have those calls of
// Playwright's that the room's helpers make (room.mjs).

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Duplex } from 'node:stream';
import { setTimeout as passed } from 'node:timers/promises';
import { WebSocket } from 'ws';

/** Where Firefox is; none where it is not installed. */
export const firefox = process.env.FIREFOX
    ?? [ '/usr/bin/firefox-esr', '/usr/bin/firefox' ].find(path => existsSync(path));

const PREFERENCES = {
    // A picture and a tone instead of devices, and nobody is asked.
    'media.navigator.streams.fake': true,
    'media.navigator.permission.disabled': true,
    'media.autoplay.default': 0,
    'media.autoplay.blocking_policy': 0,
    // The addresses of the machine as they are, its own loopback among them.
    'media.peerconnection.ice.obfuscate_host_addresses': false,
    'media.peerconnection.ice.loopback': true,
    // Nothing but the tests uses the network.
    'app.update.enabled': false,
    'browser.aboutwelcome.enabled': false,
    'browser.safebrowsing.downloads.remote.enabled': false,
    'browser.safebrowsing.malware.enabled': false,
    'browser.safebrowsing.phishing.enabled': false,
    'browser.shell.checkDefaultBrowser': false,
    'browser.startup.homepage_override.mstone': 'ignore',
    'browser.startup.page': 0,
    'datareporting.policy.dataSubmissionEnabled': false,
    'extensions.update.enabled': false,
    'media.gmp-manager.updateEnabled': false,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
    'services.settings.server': 'http://127.0.0.1:9/',
    'toolkit.telemetry.enabled': false
};

/** How long a command of the browser may take, and what a page is waited for, milliseconds. */
const COMMAND = 60_000;
const PATIENCE = 40_000;

/** Connects standard input and output with a port of the host on which it runs. */
const PIPE = port => [ '-e', `const socket = require('net').connect(${port}, '127.0.0.1');
    process.stdin.pipe(socket).pipe(process.stdout); socket.on('error', () => process.exit(1));` ];

/**
 * Starts a browser. `host` places it on another host (`hosts.mjs`), `preferences` come beside the usual ones.
 */
export async function launchFirefox({ preferences = {}, host } = {}) {
    const profile = mkdtempSync(join(tmpdir(), 'pontoon-firefox-'));
    const lines = Object.entries({ ...PREFERENCES, ...preferences })
        .map(([ name, value ]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);

    writeFileSync(join(profile, 'user.js'), lines.join(''));
    const run = host ? host.spawn.bind(host) : spawn;
    const child = run(firefox, [ '--headless', '--no-remote', '--profile', profile, '--remote-debugging-port', '0' ], {
        env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' },
        stdio: [ 'ignore', 'ignore', 'pipe' ]
    });
    const end = async () => {
        if (child.exitCode === null && child.signalCode === null) {
            const exited = once(child, 'exit');

            child.kill('SIGKILL');
            await exited;
        }
        rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
    };

    try {
        const port = await listening(child);
        const session = await Session.open(port, host);

        await session.send('session.new', { capabilities: { alwaysMatch: { acceptInsecureCerts: true } } });

        return {
            newContext: () => newContext(session),
            close: async () => {
                await session.send('browser.close', {}).catch(() => undefined);
                session.close();
                await end();
            }
        };
    } catch (error) {
        await end();
        throw error;
    }
}

/** The port at which a browser that was just started takes commands. */
async function listening(child) {
    const said = [];

    for await (const line of createInterface({ input: child.stderr })) {
        const match = /WebDriver BiDi listening on ws:\/\/127\.0\.0\.1:(\d+)/.exec(line);

        said.push(line);
        if (match) {
            // Or it waits for somebody to read on.
            child.stderr.resume();

            return Number(match[1]);
        }
    }
    throw new Error(`Firefox ended: ${said.slice(-10).join('\n')}`);
}

/** Commands and their answers. */
class Session {
    static async open(port, host) {
        const options = { perMessageDeflate: false };

        if (host) {
            const pipe = host.spawn(process.execPath, PIPE(port), { stdio: [ 'pipe', 'pipe', 'inherit' ] });

            options.createConnection = () => Duplex.from({ readable: pipe.stdout, writable: pipe.stdin });
        }
        const socket = new WebSocket(`ws://127.0.0.1:${port}/session`, options);

        await once(socket, 'open');

        return new Session(socket);
    }

    constructor(socket) {
        this.socket = socket;
        this.next = 1;
        this.waiting = new Map();
        socket.on('message', data => {
            const message = JSON.parse(data);
            const waits = this.waiting.get(message.id);

            this.waiting.delete(message.id);
            if (message.type === 'error') {
                waits?.reject(new Error(`${message.error}: ${message.message}`));
            } else {
                waits?.resolve(message.result);
            }
        });
        socket.on('close', () => {
            for (const { reject } of this.waiting.values()) {
                reject(new Error('Firefox is gone'));
            }
            this.waiting.clear();
        });
        socket.on('error', () => undefined);
    }

    send(method, params) {
        const id = this.next++;

        return new Promise((resolve, reject) => {
            const timer = setTimeout(() => {
                this.waiting.delete(id);
                reject(new Error(`${COMMAND} ms passed: ${method}`));
            }, COMMAND);
            const settled = settle => value => {
                clearTimeout(timer);
                settle(value);
            };

            this.waiting.set(id, { resolve: settled(resolve), reject: settled(reject) });
            this.socket.send(JSON.stringify({ id, method, params }));
        });
    }

    close() {
        this.socket.close();
    }
}

async function newContext(session) {
    const { userContext } = await session.send('browser.createUserContext', {});
    const context = {
        newPage: async () => {
            const { context: id } = await session.send('browsingContext.create', { type: 'tab', userContext });

            return new Page(session, id, context);
        },
        close: () => session.send('browser.removeUserContext', { userContext })
    };

    return context;
}

/** What runs in the page: whatever is given, a function or an expression, between texts of JSON. */
const calling = run => `async text => {
    const run = (${run});
    const value = typeof run === 'function' ? await run(...JSON.parse(text)) : await run;

    return JSON.stringify(value) ?? 'null';
}`;

class Page {
    constructor(session, id, context) {
        this.session = session;
        this.id = id;
        this.owner = context;
    }

    context() {
        return this.owner;
    }

    async addInitScript(script) {
        const text = typeof script === 'function' ? `(${script})();` : script;

        await this.session.send('script.addPreloadScript', { functionDeclaration: `() => { ${text} }`, contexts: [ this.id ] });
    }

    async goto(url) {
        await this.session.send('browsingContext.navigate', { context: this.id, url, wait: 'complete' });
    }

    async evaluate(run, arg) {
        const answer = await this.session.send('script.callFunction', {
            functionDeclaration: calling(run),
            arguments: [ { type: 'string', value: JSON.stringify(arg === undefined ? [] : [ arg ]) } ],
            awaitPromise: true,
            userActivation: true,
            target: { context: this.id }
        });

        if (answer.type !== 'success') {
            throw new Error(answer.exceptionDetails.text);
        }

        return JSON.parse(answer.result.value);
    }

    click(selector) {
        return this.evaluate(name => document.querySelector(name).click(), selector);
    }

    waitForTimeout(time) {
        return passed(time);
    }

    async waitForFunction(run, arg, { timeout = PATIENCE, polling = 200 } = {}) {
        const deadline = Date.now() + timeout;

        for (;;) {
            const value = await this.evaluate(run, arg);

            if (value) {
                return { jsonValue: () => value };
            }
            if (Date.now() > deadline) {
                throw new Error(`${timeout} ms passed, and it is not so: ${run}`);
            }
            await passed(polling);
        }
    }

    waitForSelector(selector) {
        return this.waitForFunction(name => document.querySelector(name) !== null, selector);
    }
}
