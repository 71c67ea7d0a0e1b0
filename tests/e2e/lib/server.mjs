// Starts the real binary and waits until it says it is ready.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));

/** Where the build left its programs. */
const built = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), process.env.PONTOON_PROFILE ?? 'debug');

/** The binary under test: `PONTOON`, else what the build left in the target folder. */
export const binary = process.env.PONTOON ?? join(built, 'pontoon');

/** The program that is a cable between two hosts. */
export const wire = join(built, 'wire');

/** A TCP port that was free a moment ago. */
export async function freeTcpPort() {
    const probe = createServer().listen(0, '127.0.0.1');

    await once(probe, 'listening');
    const { port } = probe.address();

    await new Promise(done => probe.close(done));

    return port;
}

/** A UDP port that was free a moment ago. */
export async function freeUdpPort() {
    const probe = createSocket('udp4').bind(0);

    await once(probe, 'listening');
    const { port } = probe.address();

    await new Promise(done => probe.close(done));

    return port;
}

/** A running `pontoon` process with its log. */
export class Server {
    constructor(child, stateDir, ownsState) {
        this.child = child;
        this.stateDir = stateDir;
        this.ownsState = ownsState;
        this.lines = [];
        this.waiters = new Set();
        this.exited = once(child, 'exit');
        for (const stream of [ child.stdout, child.stderr ]) {
            let rest = '';

            stream.setEncoding('utf8');
            stream.on('data', text => {
                const lines = (rest + text).split('\n');

                rest = lines.pop();
                lines.forEach(line => this.#line(line));
            });
        }
    }

    #line(line) {
        this.lines.push(line);
        for (const waiter of this.waiters) {
            waiter(line);
        }
        if (process.env.PONTOON_LOG) {
            console.error(line);
        }
    }

    /** Resolves with the match of the first line, past or future, that matches. */
    line(pattern, timeout = 20_000) {
        for (const line of this.lines) {
            const match = pattern.exec(line);

            if (match) {
                return Promise.resolve(match);
            }
        }

        return new Promise((resolve, reject) => {
            const fail = reason => {
                clearTimeout(timer);
                this.waiters.delete(waiter);
                reject(new Error(`${reason} before ${pattern}; log:\n${this.lines.slice(-40).join('\n')}`));
            };
            const timer = setTimeout(() => fail(`${timeout} ms passed`), timeout);
            const waiter = line => {
                const match = pattern.exec(line);

                if (match) {
                    clearTimeout(timer);
                    this.waiters.delete(waiter);
                    resolve(match);
                }
            };

            this.waiters.add(waiter);
            this.exited.then(([ code, signal ]) => this.waiters.has(waiter) && fail(`exited (${code ?? signal})`));
        });
    }

    /** Asks the process to end and returns its exit code. */
    async stop(signal = 'SIGTERM') {
        this.child.kill(signal);
        const [ code ] = await this.exited;

        if (this.ownsState) {
            rmSync(this.stateDir, { recursive: true, force: true });
        }

        return code;
    }
}

/**
 * Starts `pontoon <args>` with its own state folder, or with one that the test keeps; `start` may place it on another
 * host. Links of tests lead into the meeting without a click, which is the operator's to allow.
 */
export function pontoon(args, { env = {}, start = (command, list, options) => spawn(command, list, options), stateDir: kept } = {}) {
    const stateDir = kept ?? mkdtempSync(join(tmpdir(), 'pontoon-state-'));
    const child = start(binary, args, {
        env: { ...process.env, PONTOON_STATE_DIR: stateDir, PONTOON_CLIENT_PREJOIN: 'false', NO_COLOR: '1', ...env },
        stdio: [ 'ignore', 'pipe', 'pipe' ]
    });

    return new Server(child, stateDir, kept === undefined);
}
