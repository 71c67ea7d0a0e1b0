// The reference installation without packages: each part is a process of the binary, on its host.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { binary, pontoon } from '../lib/server.mjs';
import { DOMAIN } from './network.mjs';

/** A process of ours on a host, which keeps its state when it is started anew. */
class Part {
    constructor(host, args) {
        this.host = host;
        this.args = args;
        this.stateDir = mkdtempSync(join(tmpdir(), 'pontoon-scale-'));
        this.past = [];
    }

    async start() {
        this.past.push(...this.server?.lines ?? []);
        this.server = pontoon(this.args, { stateDir: this.stateDir, start: this.host.spawn.bind(this.host) });
        await this.server.line(/^Pontoon .* ready/, 60_000);
    }

    /** What it has logged, its former processes included. */
    log() {
        return [ ...this.past, ...this.server.lines ];
    }

    /** A command of the operator on this host: what it prints. */
    command(...args) {
        return this.host.exec(binary, [ ...args, '--domain', DOMAIN, '--state-dir', this.stateDir ]);
    }

    /** Processor time it took so far, in milliseconds: fields 14 and 15 of its line, in hundredths of a second. */
    cpu() {
        const fields = readFileSync(`/proc/${this.server.child.pid}/stat`, 'utf8').split(') ').pop().split(' ');

        return (Number(fields[11]) + Number(fields[12])) * 10;
    }

    signal(name) {
        this.server.child.kill(name);
    }

    async kill() {
        this.signal('SIGKILL');
        await this.server.exited;
    }

    /** Started again after it was killed, as whatever watches over services does. */
    back() {
        return this.start();
    }

    async end() {
        this.signal('SIGTERM');
        await this.server.exited;
    }

    /** Ended in order and started. */
    async restart() {
        await this.end();
        await this.start();
    }

    /** The same here, where there are no versions. */
    upgrade() {
        return this.restart();
    }

    remove() {
        if (this.server && this.server.child.exitCode === null && this.server.child.signalCode === null) {
            this.signal('SIGCONT');
            this.signal('SIGKILL');
        }
        rmSync(this.stateDir, { recursive: true, force: true });
    }
}

/** The installation of processes; parts by their names. */
export class Processes {
    constructor(network) {
        this.hosts = network.hosts;
        this.parts = {};
    }

    async startMeet() {
        this.parts.meet = new Part(this.hosts.meet, [ 'meet', '--domain', DOMAIN, '--log', 'info,focus=debug' ]);
        await this.parts.meet.start();
    }

    /** Another setting of the meet node. */
    async set(key, value) {
        this.parts.meet.args.push('--set', `${key}=${value}`);
        await this.parts.meet.restart();
    }

    async startBridge(name) {
        const line = this.parts.meet.command('token', 'bridge', name).trim().split(/\s+/).pop();

        this.parts[name] = new Part(this.hosts[name], [ 'bridge', '--join', line, '--log', 'info' ]);
        await this.parts[name].start();
    }

    stop() {
        Object.values(this.parts).forEach(part => part.remove());
    }
}
