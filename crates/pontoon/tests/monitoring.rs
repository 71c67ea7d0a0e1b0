//! Monitoring as operators set it up: the doors, and that dashboard and alarms speak of metrics there are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its set-up fails"
)]

mod common;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use common::{bridge, end, last_word, line, meet, pontoon, up, wait_for};
use serde_json::Value;

/// A port that was free a moment ago.
fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The status code and the text of an answer.
fn ask(at: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    let (line, body) = request.split_once('\n').unwrap_or((request, ""));
    let request = format!(
        "{line} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    (code, body.to_owned())
}

fn json(at: SocketAddr, path: &str) -> Value {
    let (code, text) = ask(at, &format!("GET {path}"));
    assert_eq!(code, 200, "{path}: {text}");
    serde_json::from_str(&text).unwrap()
}

/// Names of our metrics in a text.
fn named(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !part(c));
    let ours = words.filter(|w| w.starts_with("pontoon_") || w.starts_with("jitsi_"));
    ours.map(str::to_owned).collect()
}

#[test]
fn the_focus_and_the_bridge_have_the_doors_of_jitsis_and_monitoring_finds_what_it_names() {
    let state = tempfile::tempdir().unwrap();
    let (focus, media) = (free(), free());
    let mut child = up(state.path())
        .args(["--set", &format!("focus.http={focus}")])
        .args(["--set", &format!("bridge.http={media}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_open, _rest) = line(&mut child, "Open");
    let version = json(focus, "/about/version");
    assert_eq!(version["name"], "Pontoon focus");
    // The bridge is there a moment later.
    while ask(focus, "GET /about/health").0 != 200 {
        std::thread::yield_now();
    }
    assert_eq!(json(focus, "/stats")["bridge_selector"]["bridge_count"], 1);
    assert!(json(focus, "/debug")["bridge_selector"]["bridge"].is_object());
    assert_eq!(json(media, "/colibri/stats")["muc_clients_connected"], 1);
    assert_eq!(json(media, "/colibri/drain")["drain"], false);
    assert_eq!(ask(media, "POST /colibri/drain/enable").0, 200);
    assert_eq!(ask(media, "POST /colibri/drain/disable").0, 200);

    // One process is all of it here, so either page has all.
    let (code, page) = ask(focus, "GET /metrics");
    assert_eq!(code, 200);
    let samples: BTreeSet<&str> = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let monitoring = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/monitoring/");
    let dashboard = std::fs::read_to_string(format!("{monitoring}grafana-pontoon.json")).unwrap();
    let alarms = std::fs::read_to_string(format!("{monitoring}pontoon-alerts.yml")).unwrap();
    let expressions: Vec<String> = serde_json::from_str::<Value>(&dashboard).unwrap()["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|panel| panel["targets"].as_array().cloned().unwrap_or_default())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(expressions.len() > 30);
    let mut names = named(&expressions.join("\n"));
    names.extend(named(&alarms));
    assert!(names.len() > 30);
    let unknown: Vec<_> = names
        .iter()
        .filter(|name| !samples.contains(name.as_str()))
        .collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    end([child]);
}

#[test]
fn a_meet_node_without_a_bridge_says_so_wherever_it_is_asked() {
    let state = tempfile::tempdir().unwrap();
    let focus = free();
    let mut child = pontoon(state.path())
        .args([
            "meet",
            "--https",
            "127.0.0.1:0",
            "--http",
            "off",
            "--xmpp",
            "127.0.0.1:0",
        ])
        .args(["--set", &format!("focus.http={focus}")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (_ready, _rest) = line(&mut child, "Add a bridge");
    let (code, text) = ask(focus, "GET /about/health");
    assert_eq!(code, 500, "{text}");
    let status = pontoon(state.path()).arg("status").output().unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    assert!(status.starts_with("NOT WELL: "), "{status}");
    end([child]);
}

/// Takes what is posted, and answers that it is well.
fn receiver() -> (SocketAddr, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (posted, posts) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let posted = posted.clone();
            std::thread::spawn(move || {
                let mut text = String::new();
                let mut buffer = [0; 4096];
                loop {
                    let Ok(count @ 1..) = stream.read(&mut buffer) else {
                        return;
                    };
                    text.push_str(&String::from_utf8_lossy(&buffer[..count]));
                    while let Some((head, body)) = text.split_once("\r\n\r\n") {
                        let length = head
                            .lines()
                            .find_map(|line| line.strip_prefix("content-length: "));
                        let length: usize = length.unwrap().parse().unwrap();
                        if body.len() < length {
                            break;
                        }
                        let value = serde_json::from_str(&body[..length]).unwrap();
                        // The test may have seen enough.
                        let _ = posted.send((head.to_owned(), value));
                        text = body[length..].to_owned();
                        let answer = "HTTP/1.1 204 No Content\r\n\r\n";
                        stream.write_all(answer.as_bytes()).unwrap();
                    }
                }
            });
        }
    });
    (address, posts)
}

#[test]
fn whoever_adds_and_removes_bridges_hears_of_them() {
    let (scaler, posts) = receiver();
    let next = |what: &str| loop {
        let (head, post) = posts.recv().unwrap();
        if post["event"] == what {
            return (head, post);
        }
    };
    let (node, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut child = pontoon(node.path())
        .args([
            "meet",
            "--https",
            "127.0.0.1:0",
            "--http",
            "off",
            "--xmpp",
            "127.0.0.1:0",
        ])
        .args(["--set", &format!("focus.webhook=http://{scaler}/pontoon")])
        .env("PONTOON_FOCUS_WEBHOOK_TOKEN", "the-token")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (invitation, _rest) = line(&mut child, "Add a bridge");
    let (media, mut log) = bridge(other.path(), "PONTOON_BRIDGE_JOIN", last_word(&invitation));
    wait_for(&mut log, "joined the brewery");
    let (head, came) = next("bridge-came");
    assert!(head.starts_with("POST /pontoon HTTP/1.1"), "{head}");
    assert!(head.contains("authorization: Bearer the-token"), "{head}");
    let name = came["bridge"].as_str().unwrap().to_owned();
    assert_eq!(came["bridges"][0]["name"], name.as_str());
    let drained = pontoon(node.path())
        .args(["drain", &name, "--stay"])
        .output()
        .unwrap();
    assert!(drained.status.success(), "{drained:?}");
    assert_eq!(next("bridge-drains").1["bridge"], name.as_str());
    end([media]);
    assert_eq!(next("bridge-went").1["bridge"], name.as_str());
    end([child]);
}

#[test]
fn a_restart_is_an_end_that_asks_to_be_started_again() {
    let (node, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (mut child, token, _rest) = meet(node.path());
    let (mut media, mut log) = bridge(other.path(), "PONTOON_BRIDGE_JOIN", &token);
    let joined = wait_for(&mut log, "attached to signalling node");
    let name = joined.rsplit_once('/').unwrap().1;
    let name = name.split_whitespace().next().unwrap().to_owned();
    wait_for(&mut log, "joined the brewery");
    // Of the bridge by its name, on the meet node.
    loop {
        let asked = pontoon(node.path())
            .args(["restart", &name, "--when-empty"])
            .output();
        if asked.unwrap().status.success() {
            break;
        }
    }
    assert_eq!(media.wait().unwrap().code(), Some(3));
    // Of the node: nothing is under way.
    let asked = pontoon(node.path())
        .args(["restart", "--when-empty"])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn a_bridge_restarts_itself_when_it_is_empty() {
    let (node, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (child, token, _rest) = meet(node.path());
    let (mut media, mut log) = bridge(other.path(), "PONTOON_BRIDGE_JOIN", &token);
    wait_for(&mut log, "joined the brewery");
    let asked = pontoon(other.path())
        .args(["restart", "--when-empty"])
        .output()
        .unwrap();
    assert!(asked.status.success(), "{asked:?}");
    assert_eq!(media.wait().unwrap().code(), Some(3));
    end([child]);
}
