//! A certificate by ACME, from the authority that is made for tests (Debian's package `pebble`): asked for, proven in
//! either way, served.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test ends where its set-up fails"
)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use front::{
    AcmeConfig, Certificate, CertificateSource, Certificates, ClientConfig, Front, FrontConfig,
    TrustedProxies, keep_by_acme,
};

const HOST: &str = "meet.example.com";

/// The authority, killed in the end.
struct Pebble {
    process: Child,
    directory: String,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Answers every question with this machine's address (RFC 1035, section 4): the name is looked up at the authority only.
fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            let asked = &buffer[..length];
            let end = 12 + asked[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
            let is_a = asked[end - 4..end] == [0, 1, 0, 1];
            let mut answer = asked[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(&asked[12..end]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, peer);
        }
    });
    address
}

/// An authority that looks at these ports; nothing where the program is not installed.
fn pebble(state: &Path, http: u16, tls: u16) -> Option<Pebble> {
    let program = std::env::var("PEBBLE").unwrap_or_else(|_| "pebble".to_owned());
    let free = || {
        TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
    };
    let (listen, management) = (free(), free());
    Certificate::load(&CertificateSource::SelfSigned {
        directory: state.to_owned(),
        name: "web",
        hosts: vec!["127.0.0.1".to_owned()],
        renew: true,
    })
    .unwrap();
    let config = serde_json::json!({ "pebble": {
        "listenAddress": listen.to_string(),
        "managementListenAddress": management.to_string(),
        "certificate": state.join("web-certificate.pem"),
        "privateKey": state.join("web-key.pem"),
        "httpPort": http,
        "tlsPort": tls,
    }});
    let file = state.join("pebble.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let started = Command::new(program)
        .arg("-config")
        .arg(&file)
        .args(["-dnsserver", &name_server().to_string()])
        .env("PEBBLE_VA_NOSLEEP", "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let process = match started {
        Ok(process) => process,
        Err(error) => {
            eprintln!("not tested: the program pebble does not run here: {error}");
            return None;
        }
    };
    Some(Pebble {
        process,
        directory: format!("https://{listen}/dir"),
    })
}

/// A front with self-signed certificate, served until the test ends.
fn front(state: &Path) -> (Certificates, u16, u16) {
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let front = Front::bind(FrontConfig {
        https: Some(any_port),
        http: Some(any_port),
        trusted_proxies: TrustedProxies::new(|_| false),
        certificate: CertificateSource::Acme {
            directory: state.to_owned(),
            hosts: vec![HOST.to_owned()],
        },
        well_known: None,
        web_root: None,
        client: ClientConfig {
            domain: HOST.to_owned(),
            p2p: true,
            stun_servers: Vec::new(),
            turn_by_udp: false,
            codecs: Vec::new(),
            p2p_codecs: Vec::new(),
            prejoin: true,
            resolution: 720,
            last_n: -1,
            start_audio_muted: 25,
            start_video_muted: 25,
            shard: None,
            region: None,
            embed_origins: Vec::new(),
            extra: String::new(),
        },
        public_host: None,
        hsts: false,
        metrics_allow: Arc::new(|_| false),
        metrics: telemetry::Metrics::new(),
        health: Arc::new(|| Ok(())),
        bridge_origins: Vec::new(),
        colibri_ws: BTreeMap::new(),
    })
    .unwrap();
    let ports = (
        front.http_address().unwrap().port(),
        front.https_port().unwrap(),
    );
    let certificates = front.certificates().unwrap().clone();
    tokio::spawn(front.run(Vec::new(), front::Doors::default(), std::future::pending()));
    (certificates, ports.0, ports.1)
}

async fn issued(http: bool) {
    let state = tempfile::tempdir().unwrap();
    let theirs = tempfile::tempdir().unwrap();
    let (certificates, http_port, tls_port) = front(state.path());
    let Some(pebble) = pebble(theirs.path(), http_port, tls_port) else {
        return;
    };
    // It must listen before it is asked: a failure is followed by a long pause.
    let listens = pebble
        .directory
        .trim_start_matches("https://")
        .trim_end_matches("/dir");
    while tokio::net::TcpStream::connect(listens).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let self_signed = certificates.current().fingerprint();
    let config = AcmeConfig {
        directory: pebble.directory.clone(),
        root: Some(theirs.path().join("web-certificate.pem")),
        email: Some("admin@example.com".to_owned()),
        host: HOST.to_owned(),
        state: state.path().to_owned(),
        http,
    };
    tokio::spawn(keep_by_acme(config, certificates.clone()));
    let changed = async {
        while certificates.current().fingerprint() == self_signed {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(120), changed)
        .await
        .expect("a certificate");
    let current = certificates.current();
    assert!(current.chain().len() >= 2, "with its intermediate");
    let warnings = current.warnings(Some(HOST), std::time::SystemTime::now());
    assert_eq!(warnings, Vec::<String>::new());
    // Another start has it at once.
    let again = Certificates::load(CertificateSource::Acme {
        directory: state.path().to_owned(),
        hosts: vec![HOST.to_owned()],
    });
    assert_eq!(
        again.unwrap().current().fingerprint(),
        current.fingerprint()
    );
}

#[tokio::test]
async fn a_certificate_is_had_over_http() {
    issued(true).await;
}

#[tokio::test]
async fn a_certificate_is_had_over_tls() {
    issued(false).await;
}
