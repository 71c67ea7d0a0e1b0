//! A transport with two paths that are known, and SRTP contexts, given any datagrams. The input is a row of records:
//! length, where it comes from and what happens first, bytes.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, UNIX_EPOCH};

use libfuzzer_sys::fuzz_target;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rtc::srtp::{DtlsRole, Profile, contexts};
use rtc::{
    Candidate, Certificate, PacketKind, RemoteParameters, Setup, Transport, TransportConfig, demux,
};

static CERTIFICATE: LazyLock<Arc<Certificate>> = LazyLock::new(|| {
    let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    Arc::new(Certificate::generate(now).expect("a certificate"))
});
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Lets two transports talk until the client's DTLS has begun.
fn connect(now: Instant, a: &mut Transport, b: &mut Transport) {
    let mut buf = [0; 1500];
    for step in 0..6u64 {
        let now = now + Duration::from_millis(20 * step);
        a.handle_timeout(now);
        b.handle_timeout(now);
        for _ in 0..4 {
            while let Some(t) = a.poll_transmit(&mut buf) {
                b.handle_control(now, t.from, t.to, &buf[..t.len]);
            }
            while let Some(t) = b.poll_transmit(&mut buf) {
                a.handle_control(now, t.from, t.to, &buf[..t.len]);
            }
        }
    }
}

fn transport(rng: &mut ChaCha8Rng, port: u16, controlling: bool) -> Transport {
    let candidate = Candidate::host(([10, 0, 0, 1], port).into(), 1);
    let mut config = TransportConfig::new(vec![candidate], CERTIFICATE.clone());
    config.controlling = controlling;
    config.sctp = true;
    config.open_channel = (!controlling).then(|| ("label".into(), "protocol".into()));
    Transport::new(*START, config, rng)
}

fn remote(of: &Transport, setup: Setup) -> RemoteParameters {
    let local = of.local();
    RemoteParameters {
        credentials: Some((local.ufrag, local.pwd)),
        candidates: local.candidates,
        fingerprints: vec![local.fingerprint],
        setup: Some(setup),
        ..RemoteParameters::default()
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut now = *START;
    let mut bridge = transport(&mut rng, 10_000, true);
    let mut client = transport(&mut rng, 5000, false);
    let (to_bridge, to_client) = (
        remote(&client, Setup::Active),
        remote(&bridge, Setup::Passive),
    );
    bridge.set_remote(now, to_bridge);
    client.set_remote(now, to_client);
    let (first, mut rest) = data.split_first().unwrap_or((&0, &[]));
    if first & 1 != 0 {
        connect(now, &mut bridge, &mut client);
        now += Duration::from_millis(200);
    }
    let material = [7; 56];
    let Some((mut inbound, _)) = contexts(Profile::AeadAes128Gcm, &material, DtlsRole::Server)
    else {
        return;
    };
    let mut buf = [0; 1500];
    while let Some(([len, how], tail)) = rest.split_first_chunk() {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        rest = tail;
        let from = ([10, 0, 0, 1], if how & 1 == 0 { 5000 } else { 6000 }).into();
        let to = ([10, 0, 0, 1], 10_000).into();
        match demux(datagram) {
            Some(PacketKind::Rtp) => drop(inbound.unprotect_rtp(&mut datagram.to_vec())),
            Some(PacketKind::Rtcp) => drop(inbound.unprotect_rtcp(&mut datagram.to_vec())),
            _ => drop(bridge.handle_control(now, from, to, datagram)),
        }
        if how & 2 != 0 {
            now += Duration::from_millis(u64::from(*how));
            bridge.handle_timeout(now);
        }
        while bridge.poll_transmit(&mut buf).is_some() {}
        while bridge.poll_event().is_some() {}
    }
});
