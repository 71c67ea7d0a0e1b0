//! The command as a service: what systemd is told, what a hangup does, whose the state directory is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its set-up fails"
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{bridge, end, line, meet, pontoon, refusal, stop, up, wait_for};

/// What a service manager hears, up to a message that contains this.
fn hear(socket: &UnixDatagram, words: &str) -> String {
    let mut buffer = [0; 4096];
    loop {
        let length = socket.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.contains(words) {
            return text;
        }
    }
}

#[test]
fn the_service_manager_hears_of_start_and_end() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let child = up(state.path())
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    hear(&socket, "READY=1");
    stop(&child, "-TERM");
    hear(&socket, "STOPPING=1");
    end_of(child);
}

fn end_of(mut child: Child) {
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_bridge_that_is_not_attached_says_why() {
    let state = tempfile::tempdir().unwrap();
    let path = state.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // Nobody listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let token = format!("{address}/meet.internal/b:secret/{}", "0".repeat(64));
    let child = pontoon(state.path())
        .args(["bridge", "--udp", "127.0.0.1:0"])
        .env("PONTOON_BRIDGE_JOIN", token)
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = hear(&socket, "cannot be reached");
    let words = format!("STATUS=not attached: {address} cannot be reached:");
    assert!(said.starts_with(&words), "{said}");
    end([child]);
}

#[test]
fn a_state_directory_is_for_one_process() {
    let state = tempfile::tempdir().unwrap();
    let mut first = up(state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_open, _rest) = line(&mut first, "Open");
    let second = up(state.path()).output().unwrap();
    let said = refusal(second, 1);
    assert!(
        said.contains("another pontoon runs with the state directory"),
        "{said}"
    );
    end([first]);
}

fn make_certificate(directory: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "90",
        ])
        .args(["-keyout", "key.pem", "-out", "chain.pem", "-subj", "/CN=x"])
        .args(["-addext", &format!("subjectAltName=DNS:{name}")])
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(made.status.success());
}

#[test]
fn a_hangup_takes_up_another_certificate() {
    let state = tempfile::tempdir().unwrap();
    make_certificate(state.path(), "one.test");
    let mut child = up(state.path())
        .args(["--certificate", "chain.pem", "--key", "key.pem"])
        .current_dir(state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let (_open, _rest) = line(&mut child, "Open");
    stop(&child, "-HUP");
    wait_for(&mut log, "is the same as before");
    make_certificate(state.path(), "two.test");
    stop(&child, "-HUP");
    wait_for(&mut log, "is another one now");
    // A file that is no use ends nothing.
    std::fs::write(state.path().join("chain.pem"), "half").unwrap();
    stop(&child, "-HUP");
    let said = wait_for(&mut log, "is served on");
    assert!(said.contains("chain.pem"), "{said}");
    let drained = std::thread::spawn(move || log.count());
    end([child]);
    drained.join().unwrap();
}

#[test]
fn a_bridge_takes_up_tokens_that_come_and_go() {
    let states: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let (one, first, _rest) = meet(states[0].path());
    let (two, second, _rest) = meet(states[1].path());
    let file = states[2].path().join("tokens");
    // Lines as they are printed, and words of the operator's.
    std::fs::write(
        &file,
        format!("# Two nodes.\npontoon bridge --join {first}\n"),
    )
    .unwrap();
    let (child, mut log) = bridge(states[2].path(), "PONTOON_BRIDGE_JOIN_FILE", &file);
    wait_for(&mut log, "joined the brewery");
    let mut more = std::fs::File::options().append(true).open(&file).unwrap();
    writeln!(more, "{second}").unwrap();
    stop(&child, "-HUP");
    wait_for(&mut log, "joined the brewery");
    std::fs::write(&file, &second).unwrap();
    stop(&child, "-HUP");
    wait_for(&mut log, "leaving a signalling node");
    let drained = std::thread::spawn(move || log.count());
    end([child, one, two]);
    drained.join().unwrap();
}

#[test]
fn of_several_files_the_later_one_wins() {
    let state = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = state.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let answers = file(
        "a.toml",
        "domain = \"a.test\"\n[client]\nextra = \"extra.js\"\n",
    );
    let own = file("b.toml", "domain = \"b.test\"\n");
    file("extra.js", "");
    let output = pontoon(state.path())
        .arg("check")
        .arg("--config")
        .arg(&answers)
        .arg("--config")
        .arg(&own)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains(&format!("domain: from {}:1", own.display())),
        "{said}"
    );
    assert!(
        said.contains(&format!("client.extra: from {}:3", answers.display())),
        "{said}"
    );
}
