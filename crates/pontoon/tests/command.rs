//! The command as its users meet it: what it says when something is wrong, how it starts and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where its set-up fails"
)]

mod common;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{bridge, end, last_word, line, meet, pontoon, refusal, stop, up, wait_for};

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

/// What `pontoon token ...` prints.
fn token(state: &Path, arguments: &[&str]) -> String {
    let output = pontoon(state)
        .arg("token")
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn bridges_that_join_with_one_token_are_revoked_one_by_one() {
    let state = tempfile::tempdir().unwrap();
    let (meet, join, _rest) = meet(state.path());
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (first, mut first_log) = bridge(one.path(), "PONTOON_BRIDGE_JOIN", &join);
    let (second, mut second_log) = bridge(two.path(), "PONTOON_BRIDGE_JOIN", &join);
    wait_for(&mut first_log, "joined the brewery");
    wait_for(&mut second_log, "joined the brewery");
    let listed = token(state.path(), &["list"]);
    let names: Vec<&str> = listed
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(names.len(), 2, "each has an account of its own: {listed}");
    let own = std::fs::read_to_string(one.path().join("bridge-id")).unwrap();
    let own = own.trim();
    assert!(names.contains(&own), "{listed}");

    // A bridge that starts again comes in with what it has, not as another one.
    end([first]);
    let (first, mut first_log) = bridge(one.path(), "PONTOON_BRIDGE_JOIN", &join);
    wait_for(&mut first_log, "joined the brewery");
    assert_eq!(token(state.path(), &["list"]), listed);

    let said = token(state.path(), &["revoke", own]);
    assert!(said.contains("is revoked"), "{said}");
    wait_for(&mut first_log, "is lost: ");
    wait_for(
        &mut first_log,
        "knows neither an account of this bridge nor its token",
    );
    assert!(!token(state.path(), &["list"]).contains(own));
    end([first]);
    // Nor does the token it had let in another; the new one does, and so does a line for this bridge alone.
    let three = tempfile::tempdir().unwrap();
    let (stranger, mut stranger_log) = bridge(three.path(), "PONTOON_BRIDGE_JOIN", &join);
    wait_for(&mut stranger_log, "knows neither an account");
    let renewed = last_word(&token(state.path(), &["join"]));
    assert_ne!(renewed, join);
    let file = three.path().join("token");
    std::fs::write(&file, format!("{renewed}\n")).unwrap();
    end([stranger]);
    let (stranger, mut stranger_log) = bridge(three.path(), "PONTOON_BRIDGE_JOIN_FILE", &file);
    wait_for(
        &mut stranger_log,
        "others on this machine may read this secret",
    );
    wait_for(&mut stranger_log, "joined the brewery");
    let made = token(state.path(), &["bridge", own]);
    assert_eq!(made.lines().count(), 1, "{made}");
    assert!(made.starts_with("pontoon bridge --join "), "{made}");
    let (first, mut first_log) = bridge(one.path(), "PONTOON_BRIDGE_JOIN", last_word(&made));
    wait_for(&mut first_log, "joined the brewery");
    // The second one heard of nothing.
    end([first, second, stranger]);
    let rest: Vec<String> = second_log.map(Result::unwrap).collect();
    assert!(
        !rest
            .iter()
            .any(|line| line.contains("signalling node lost")),
        "{rest:?}"
    );
    end([meet]);
}

#[test]
fn a_bridge_joins_a_server_without_tokens() {
    let state = tempfile::tempdir().unwrap();
    let (meet, _join, _rest) = meet(state.path());
    // As for a jitsi-videobridge: name and password of an account.
    let made = last_word(&token(state.path(), &["bridge", "jvb1"]));
    let made: config::JoinToken = made.parse().unwrap();
    let fingerprint: String = made
        .fingerprint
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    for certificate in [fingerprint.as_str(), "unchecked"] {
        let other = tempfile::tempdir().unwrap();
        let mut bridge = pontoon(other.path())
            .args(["bridge", "--udp", "127.0.0.1:0"])
            .env("PONTOON_BRIDGE_XMPP", format!("127.0.0.1:{}", made.port))
            .env("PONTOON_BRIDGE_XMPP_USER", &made.user)
            .env("PONTOON_BRIDGE_XMPP_PASSWORD", made.password.expose())
            .env("PONTOON_BRIDGE_XMPP_CERTIFICATE", certificate)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(bridge.stderr.take().unwrap()).lines();
        wait_for(&mut log, "joined the brewery");
        end([bridge]);
    }
    end([meet]);
}

#[test]
fn a_bridge_is_ready_when_it_is_let_in() {
    let state = tempfile::tempdir().unwrap();
    let (meet, _join, _rest) = meet(state.path());
    let made = last_word(&token(state.path(), &["bridge", "jvb1"]));
    let made: config::JoinToken = made.parse().unwrap();
    let other = tempfile::tempdir().unwrap();
    let start = |password: &str| {
        pontoon(other.path())
            .args(["bridge", "--udp", "127.0.0.1:0"])
            .env("PONTOON_BRIDGE_XMPP", format!("127.0.0.1:{}", made.port))
            .env("PONTOON_BRIDGE_XMPP_USER", &made.user)
            .env("PONTOON_BRIDGE_XMPP_PASSWORD", password)
            .env("PONTOON_BRIDGE_XMPP_CERTIFICATE", "unchecked")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut refused = start("another");
    let mut log = BufReader::new(refused.stderr.take().unwrap()).lines();
    let why = wait_for(&mut log, "does not let");
    for part in ["127.0.0.1:", "jvb1@auth.", "password"] {
        assert!(why.contains(part), "who refuses whom, and why: {why}");
    }
    let mut said = refused.stdout.take().unwrap();
    end([refused]);
    let mut text = String::new();
    said.read_to_string(&mut text).unwrap();
    assert!(!text.contains("ready"), "{text}");

    let mut bridge = start(made.password.expose());
    let mut log = BufReader::new(bridge.stderr.take().unwrap()).lines();
    let (said, _rest) = line(&mut bridge, "Pontoon");
    assert!(said.contains("is ready"), "{said}");
    wait_for(&mut log, "joined the brewery");
    end([bridge, meet]);
}

#[test]
fn why_there_is_no_token_is_said() {
    let state = tempfile::tempdir().unwrap();
    let said = |listen: Option<&str>| {
        let mut command = pontoon(state.path());
        command.args(["token", "join"]);
        command.envs(listen.map(|value| ("PONTOON_SIGNALLING_LISTEN", value)));
        refusal(command.output().unwrap(), 1)
    };
    let off = said(Some("off"));
    assert!(
        off.contains("--xmpp 5222") && !off.contains("state"),
        "{off}"
    );
    let none = said(None);
    assert!(none.contains("--xmpp off"), "{none}");
}

#[test]
fn who_reaches_the_port_of_bridges_is_said() {
    let said = |command: &str, more: &[&str]| {
        let state = tempfile::tempdir().unwrap();
        let mut child = pontoon(state.path())
            .args([command, "--https", "127.0.0.1:0", "--http", "off"])
            .args(["--udp", "127.0.0.1:0"])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (line, _rest) = line(&mut child, "port ");
        end([child]);
        line
    };
    let alone = said("up", &["--xmpp", "127.0.0.1:0"]);
    assert!(alone.contains("open to this machine alone"), "{alone}");
    let private = said("meet", &["--xmpp", "0"]);
    assert!(
        private.contains("192.168.0.0/16") && private.contains("nobody else"),
        "{private}"
    );
    let world = ["--xmpp", "0", "--set", "signalling.xmpp_allow=0.0.0.0/0"];
    let world = said("meet", &world);
    assert!(world.contains("WHOLE WORLD"), "{world}");
}

#[test]
fn tokens_of_older_versions_are_told() {
    let state = tempfile::tempdir().unwrap();
    let old = format!("10.0.0.1:5222/meet.internal/password/{}", "0".repeat(64));
    let output = pontoon(state.path())
        .args(["bridge", "--join", &old])
        .output()
        .unwrap();
    assert!(refusal(output, 2).contains("older version"));
    // Nor does one in the state directory stop the meet node: it makes another.
    std::fs::write(state.path().join("join-token"), format!("{old}\n")).unwrap();
    let (meet, join, _rest) = meet(state.path());
    assert!(join.contains("/join:"), "{join}");
    end([meet]);
}

#[test]
fn full_disks_and_files_of_others_are_sentences() {
    // Both outputs are on a full disk: nothing can be said, and nothing else happens.
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full");
    let state = tempfile::tempdir().unwrap();
    let mut meet = up(state.path())
        .stdout(full().unwrap())
        .stderr(full().unwrap())
        .spawn()
        .unwrap();
    let token = state.path().join("join-token");
    while !token.exists() {
        assert!(meet.try_wait().unwrap().is_none(), "it ended early");
        std::thread::yield_now();
    }
    let listed = pontoon(state.path()).args(["token", "list"]).output();
    assert!(listed.unwrap().status.success());
    end([meet]);
    let output = pontoon(state.path())
        .args(["token", "join"])
        .stdout(full().unwrap())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let text = refusal(output, 1);
    assert!(text.contains("standard output cannot be written"), "{text}");
    assert!(!text.contains("panicked"), "{text}");

    // What is in the way of a secret is named.
    for name in ["cluster-secret", "join-token", "bridges"] {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(name);
        match name {
            "bridges" => std::fs::write(&path, "").unwrap(),
            _ => std::fs::create_dir(&path).unwrap(),
        }
        let output = up(state.path()).output().unwrap();
        let text = refusal(output, 1);
        let said: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("pontoon: "))
            .collect();
        assert_eq!(said.len(), 1, "{name}: {text}");
        assert!(said[0].contains(name), "{name}: {text}");
    }
}

#[test]
fn secrets_open_to_others_are_closed_and_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let state = tempfile::tempdir().unwrap();
    let secret = state.path().join("cluster-secret");
    std::fs::write(&secret, "a secret that everybody can read\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
    // The operator's own file is theirs: told, not changed.
    let file = state.path().join("pontoon.toml");
    let text = "[bridge]\nxmpp = \"127.0.0.1\"\nxmpp_password = \"sesame\"\nxmpp_certificate = \"unchecked\"\n";
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let mut child = up(state.path())
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = wait_for(&mut log, "may read this secret");
    assert!(line.contains("pontoon.toml"), "{line}");
    let line = wait_for(&mut log, "could read this secret");
    assert!(
        line.contains("cluster-secret") && !line.contains("chmod"),
        "what is done already is not asked for: {line}"
    );
    let drained = std::thread::spawn(move || log.count());
    end([child]);
    drained.join().unwrap();
    assert_eq!(
        secret.metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
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

#[test]
fn load_on_another_machine_needs_a_word_of_permission() {
    let state = tempfile::tempdir().unwrap();
    let load = |args: &[&str]| {
        let output = pontoon(state.path()).arg("load").args(args).output();
        refusal(output.unwrap(), 1)
    };
    // RFC 5737: nobody's address.
    let said = load(&["192.0.2.1"]);
    assert!(said.contains("192.0.2.1 is not this machine") && said.contains("--i-am-allowed-to"));
    for (args, word) in [
        (&["--senders", "1"] as &[&str], "takes two"),
        (&["--layers", "4"], "0 to 3 layers"),
        (&["127.0.0.1:http"], "HOST:PORT"),
        (&["--json", "/nowhere/at/all.json"], "cannot be written"),
    ] {
        let said = load(args);
        assert!(said.contains(word), "{said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}

#[test]
fn load_joins_a_meeting_and_reports_what_it_saw() {
    let state = tempfile::tempdir().unwrap();
    let mut server = up(state.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (open, _rest) = line(&mut server, "Open");
    let address = last_word(&open);
    let (json, html) = (state.path().join("a.json"), state.path().join("a.html"));
    let output = pontoon(state.path())
        .args(["load", &address, "--senders", "2", "--receivers", "1"])
        .args(["--layers", "2", "--duration", "3", "--ramp", "50"])
        .args(["--churn", "1", "--json", json.to_str().unwrap()])
        .args(["--html", html.to_str().unwrap()])
        .output()
        .unwrap();
    stop(&server, "-TERM");
    server.wait().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report = std::fs::read_to_string(json).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let whole = &report["whole"];
    assert!(report["joins"].as_u64().unwrap() >= 3, "{report}");
    assert!(whole["received_packets"].as_u64().unwrap() > 100, "{whole}");
    assert!(whole["frames"].as_u64().unwrap() > 10, "{whole}");
    assert!(std::fs::read_to_string(html).unwrap().contains("<svg"));
}
