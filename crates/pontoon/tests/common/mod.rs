//! Runs the command as its users do.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

pub fn pontoon(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pontoon"));
    for (name, _value) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PONTOON_") {
            command.env_remove(name);
        }
    }
    command.env("PONTOON_STATE_DIR", state).stdin(Stdio::null());
    command
}

/// `up` on any free ports.
pub fn up(state: &Path) -> Command {
    let mut command = pontoon(state);
    command.args([
        "up",
        "--https",
        "127.0.0.1:0",
        "--http",
        "off",
        "--xmpp",
        "127.0.0.1:0",
    ]);
    command.args(["--udp", "127.0.0.1:0"]);
    command
}

pub fn refusal(output: Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

pub fn stop(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Reads standard output up to the line that begins like this, and returns that line.
pub fn line(child: &mut Child, beginning: &str) -> (String, impl Sized + use<>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next().expect("the process ended early").unwrap();
        if line.trim_start().starts_with(beginning) {
            return (line, lines);
        }
    }
}

/// `meet` on any free ports, of this machine alone; and the command it prints for bridges.
pub fn meet(state: &Path) -> (Child, String, impl Sized + use<>) {
    let mut meet = pontoon(state)
        .args(["meet", "--https", "127.0.0.1:0", "--http", "off"])
        .args(["--xmpp", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (line, rest) = line(&mut meet, "Add a bridge");
    (meet, last_word(&line), rest)
}

pub fn last_word(line: &str) -> String {
    line.split_whitespace().last().unwrap().to_owned()
}

pub type Log = std::io::Lines<BufReader<std::process::ChildStderr>>;

/// A bridge with this in its environment, and its log.
pub fn bridge(state: &Path, name: &str, value: impl AsRef<std::ffi::OsStr>) -> (Child, Log) {
    let mut bridge = pontoon(state)
        .args(["bridge", "--udp", "127.0.0.1:0"])
        .env(name, value)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let log = BufReader::new(bridge.stderr.take().unwrap()).lines();
    (bridge, log)
}

/// Reads the log up to a line that contains this.
pub fn wait_for(log: &mut Log, words: &str) -> String {
    let mut seen = Vec::new();
    for line in log {
        let line = line.unwrap();
        if line.contains(words) {
            return line;
        }
        seen.push(line);
    }
    panic!(
        "the process ended before it said {words:?}: {}",
        seen.join("\n")
    );
}

pub fn end(children: impl IntoIterator<Item = Child>) {
    for mut child in children {
        stop(&child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}
