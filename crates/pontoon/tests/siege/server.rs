//! The binary under siege.

use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const DOMAIN: &str = "meet.internal";

pub struct Server {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    pub https: u16,
    pub xmpp: u16,
    pub udp: u16,
    _state: tempfile::TempDir,
}

fn free_tcp() -> u16 {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    probe.local_addr().unwrap().port()
}

impl Server {
    /// Starts `pontoon up` on free ports of the loopback interface.
    pub async fn start() -> Self {
        let state = tempfile::tempdir().unwrap();
        let (https, xmpp) = (free_tcp(), free_tcp());
        let probe = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let udp = probe.local_addr().unwrap().port();
        drop(probe);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pontoon"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PONTOON_") {
                command.env_remove(name);
            }
        }
        let mut child = command
            .env("PONTOON_STATE_DIR", state.path())
            .args(["up", "--http", "off"])
            .args(["--https", &format!("127.0.0.1:{https}")])
            .args(["--xmpp", &format!("127.0.0.1:{xmpp}")])
            .args(["--udp", &format!("127.0.0.1:{udp}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                let mut lines = lines.lock().unwrap();
                lines.push(line);
                if lines.len() > 2_000 {
                    lines.drain(..1_000);
                }
            }
        });
        let (ready, started) = tokio::sync::oneshot::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let mut ready = Some(ready);
            for line in stdout.lines().map_while(Result::ok) {
                if line.trim_start().starts_with("Open") {
                    ready.take().map(|ready| ready.send(()));
                }
            }
        });
        let server = Self {
            child: Mutex::new(child),
            log,
            https,
            xmpp,
            udp,
            _state: state,
        };
        if started.await.is_err() {
            panic!("the server did not start: {}", server.last_lines());
        }
        server
    }

    pub fn last_lines(&self) -> String {
        let log = self.log.lock().unwrap();
        log[log.len().saturating_sub(30)..].join("\n")
    }

    pub fn must_run(&self, when: &str) {
        if let Some(status) = self.child.lock().unwrap().try_wait().unwrap() {
            panic!("{when}: the server ended: {status}\n{}", self.last_lines());
        }
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        let pid = self.child.lock().unwrap().id();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(0)
    }

    /// Waits until memory is no more than `kib`.
    pub async fn must_shrink_to(&self, kib: u64, patience: Duration) {
        let began = Instant::now();
        while self.resident_kib() > kib {
            let waited = began.elapsed();
            assert!(
                waited < patience,
                "{} MiB resident after {waited:?}, not {}",
                self.resident_kib() / 1024,
                kib / 1024
            );
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the server's last words:\n{}", self.last_lines());
        }
        let child = self.child.get_mut().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}
