// A reverse proxy as old ones are: plain HTTP requests pass, upgrades to WebSockets do not.

import { once } from 'node:events';
import { createServer, request } from 'node:https';

/**
 * Starts the proxy in front of a server on this machine.
 *
 * @returns its port, the addresses of upgrades it refused, and how to stop it
 */
export async function proxyWithoutUpgrade(port, { key, cert }) {
    const refused = [];
    const proxy = createServer({ key, cert }, (incoming, outgoing) => {
        const { method, url, headers } = incoming;
        const passed = request({ host: '127.0.0.1', port, method, path: url, headers, rejectUnauthorized: false }, answer => {
            outgoing.writeHead(answer.statusCode, answer.headers);
            answer.pipe(outgoing);
        });

        passed.on('error', () => outgoing.destroy());
        outgoing.on('close', () => passed.destroy());
        incoming.pipe(passed);
    });

    proxy.on('upgrade', (incoming, socket) => {
        refused.push(incoming.url);
        socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');

    return {
        port: proxy.address().port,
        refused,
        stop: () => {
            proxy.close();
            proxy.closeAllConnections();
        }
    };
}
