//! The command as its users meet it: what it says when something is wrong, how it starts and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends where its set-up fails"
)]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn pontoon(state: &Path) -> Command {
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
fn up(state: &Path) -> Command {
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

fn refusal(output: Output, code: i32) -> String {
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

fn stop(child: &Child, signal: &str) {
    let status = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// Reads standard output up to the line that begins like this, and returns that line.
fn line(child: &mut Child, beginning: &str) -> (String, impl Sized + use<>) {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    loop {
        let line = lines.next().expect("the process ended early").unwrap();
        if line.trim_start().starts_with(beginning) {
            return (line, lines);
        }
    }
}

#[test]
fn up_starts_and_ends_cleanly_at_either_signal() {
    let state = tempfile::tempdir().unwrap();
    let mut tokens = Vec::new();
    for signal in ["-TERM", "-INT"] {
        let mut child = up(state.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (token, _rest) = line(&mut child, "Add a bridge");
        stop(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}");
        let token = token.split_whitespace().last().unwrap().to_owned();
        let token: config::JoinToken = token.parse().unwrap();
        tokens.push((token.password.expose().clone(), token.fingerprint));
    }
    assert_eq!(tokens[0], tokens[1], "secret and certificate are kept");
}

#[test]
fn a_bridge_starts_with_the_token_it_was_given() {
    let state = tempfile::tempdir().unwrap();
    let mut meet = pontoon(state.path())
        .args([
            "meet",
            "--https",
            "127.0.0.1:0",
            "--http",
            "off",
            "--xmpp",
            "127.0.0.1:0",
        ])
        .args(["--set", "signalling.advertise=127.0.0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (token, _rest) = line(&mut meet, "Add a bridge");
    let other = tempfile::tempdir().unwrap();
    let mut bridge = pontoon(other.path())
        .args([
            "bridge",
            "--udp",
            "127.0.0.1:0",
            "--join",
            token.split_whitespace().last().unwrap(),
        ])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(bridge.stderr.take().unwrap()).lines();
    let joined = log.any(|line| line.unwrap().contains("joined the brewery"));
    assert!(joined, "the bridge ended before it was among the bridges");
    for child in [&mut bridge, &mut meet] {
        stop(child, "-TERM");
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_bridge_joins_a_server_without_tokens() {
    let state = tempfile::tempdir().unwrap();
    let mut meet = pontoon(state.path())
        .args(["meet", "--https", "127.0.0.1:0", "--http", "off"])
        .args(["--xmpp", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (token, _rest) = line(&mut meet, "Add a bridge");
    let token = token.split_whitespace().last().unwrap();
    let token: config::JoinToken = token.parse().unwrap();
    let fingerprint: String = token
        .fingerprint
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    for certificate in [fingerprint.as_str(), "unchecked"] {
        let other = tempfile::tempdir().unwrap();
        let mut bridge = pontoon(other.path())
            .args(["bridge", "--udp", "127.0.0.1:0"])
            .env("PONTOON_BRIDGE_XMPP", format!("127.0.0.1:{}", token.port))
            .env("PONTOON_BRIDGE_XMPP_PASSWORD", token.password.expose())
            .env("PONTOON_BRIDGE_XMPP_CERTIFICATE", certificate)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(bridge.stderr.take().unwrap()).lines();
        let joined = log.any(|line| line.unwrap().contains("joined the brewery"));
        stop(&bridge, "-TERM");
        assert_eq!(bridge.wait().unwrap().code(), Some(0));
        assert!(joined, "{certificate}");
    }
    stop(&meet, "-TERM");
    assert_eq!(meet.wait().unwrap().code(), Some(0));
}

#[test]
fn taken_ports_are_one_sentence() {
    let state = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let tcp_address = tcp.local_addr().unwrap().to_string();
    let udp_address = udp.local_addr().unwrap().to_string();
    for (flag, address) in [
        ("--https", &tcp_address),
        ("--http", &tcp_address),
        ("--xmpp", &tcp_address),
        ("--udp", &udp_address),
    ] {
        let output = up(state.path())
            .arg(format!("{flag}={address}"))
            .output()
            .unwrap();
        let text = refusal(output, 1);
        let said: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("pontoon: "))
            .collect();
        assert_eq!(said.len(), 1, "{flag}: {text}");
        assert!(
            said[0].contains("is taken by another program"),
            "{flag}: {text}"
        );
    }
}

#[test]
fn unusable_files_are_one_sentence() {
    let state = tempfile::tempdir().unwrap();
    let missing = state.path().join("none.pem");
    let with_certificate = |command: &str| {
        pontoon(state.path())
            .arg(command)
            .args(["--https", "127.0.0.1:0", "--certificate"])
            .arg(&missing)
            .arg("--key")
            .arg(&missing)
            .output()
            .unwrap()
    };
    for command in ["up", "check"] {
        let text = refusal(with_certificate(command), 1);
        assert!(
            text.ends_with("none.pem: there is no such file.\n"),
            "{command}: {text}"
        );
    }
    let output = pontoon(state.path())
        .args(["check", "--web-root"])
        .arg(state.path())
        .output()
        .unwrap();
    assert!(refusal(output, 1).contains("has no index.html"));
    let output = pontoon(state.path())
        .args(["check", "--config"])
        .arg(&missing)
        .output()
        .unwrap();
    assert!(refusal(output, 1).contains("none.pem cannot be read"));
}

#[test]
fn check_warns_of_certificates_that_people_will_be_warned_of() {
    let state = tempfile::tempdir().unwrap();
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k.pem",
        ])
        .args([
            "-out",
            "c.pem",
            "-days",
            "3",
            "-subj",
            "/CN=old.example.com",
        ])
        .args(["-addext", "subjectAltName=DNS:old.example.com"])
        .current_dir(state.path())
        .output()
        .unwrap();
    assert!(made.status.success());
    let check = |address: &str| {
        let output = pontoon(state.path())
            .args(["check", "--certificate", "c.pem", "--key", "k.pem", "--set"])
            .arg(format!("front.public_url={address}"))
            .current_dir(state.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = check("https://new.example.com:8443");
    assert!(text.contains("c.pem: its certificate expires on"), "{text}");
    assert!(
        text.contains("is for old.example.com, not for new.example.com"),
        "{text}"
    );
    assert!(!text.contains("is good"), "{text}");
    let text = check("https://old.example.com");
    assert!(!text.contains("not for"), "{text}");
}

#[test]
fn https_may_be_left_to_a_proxy() {
    let state = tempfile::tempdir().unwrap();
    let mut child = pontoon(state.path())
        .args([
            "meet",
            "--https",
            "off",
            "--http",
            "127.0.0.1:0",
            "--xmpp",
            "off",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (said, _rest) = line(&mut child, "HTTPS is off");
    stop(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(
        said.contains("ends TLS") && said.contains("http://127.0.0.1:"),
        "{said}"
    );
    let output = pontoon(state.path())
        .args(["check", "--https", "off", "--http", "off"])
        .output()
        .unwrap();
    assert!(refusal(output, 2).contains("nothing would serve pages"));
}

#[test]
fn mistakes_in_the_configuration_name_their_place() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("pontoon.toml");
    std::fs::write(&file, "[front]\nhtps = 1\n[client]\nresolution = 1\n").unwrap();
    let output = pontoon(state.path())
        .args(["check", "--set", "log.format=xml", "--config"])
        .arg(&file)
        .env("PONTOON_BRIDGE_UDP", "many")
        .output()
        .unwrap();
    let text = refusal(output, 2);
    let begins: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(": ").next())
        .collect();
    let place = |line: u32| format!("{}:{line}", file.display());
    assert_eq!(
        begins,
        [
            &place(2),
            &place(4),
            "environment PONTOON_BRIDGE_UDP",
            "option --set log.format"
        ]
    );
    let output = pontoon(state.path()).arg("check").output().unwrap();
    assert!(output.status.success());
}

#[test]
fn a_bridge_without_a_token_says_what_it_needs() {
    let state = tempfile::tempdir().unwrap();
    let output = pontoon(state.path()).arg("bridge").output().unwrap();
    assert!(refusal(output, 1).contains("pontoon bridge --join TOKEN"));
}

#[test]
fn the_reference_is_printed_in_all_forms() {
    let state = tempfile::tempdir().unwrap();
    for (form, word) in [
        ("markdown", "# Configuration"),
        ("toml", "[front]"),
        ("schema", "\"$schema\""),
    ] {
        let mut child = pontoon(state.path())
            .args(["reference", "--form", form])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert!(
            child.wait().unwrap().success() && text.contains(word),
            "{form}"
        );
    }
}
