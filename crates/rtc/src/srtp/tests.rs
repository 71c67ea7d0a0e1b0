//! Known answers (RFC 3711 appendix B, RFC 7714 §16, §17) and behaviour of both directions.

use super::keys::Keys;
use super::*;

fn hex(s: &str) -> Vec<u8> {
    let digits: Vec<u8> = s.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|p| u8::from_str_radix(std::str::from_utf8(p).unwrap(), 16).unwrap())
        .collect()
}

const PROFILES: [Profile; 3] = [
    Profile::AeadAes128Gcm,
    Profile::AeadAes256Gcm,
    Profile::AesCm128HmacSha1_80,
];

fn material(profile: Profile) -> Vec<u8> {
    (0..2 * (profile.key_len() + profile.salt_len()))
        .map(|i| (i * 37 + 11) as u8)
        .collect()
}

fn pair(profile: Profile) -> (Outbound, Inbound) {
    let (_, outbound) = contexts(profile, &material(profile), DtlsRole::Client).unwrap();
    let (inbound, _) = contexts(profile, &material(profile), DtlsRole::Server).unwrap();
    (outbound, inbound)
}

fn packet(ssrc: u32, seq: u16, payload: &[u8]) -> Vec<u8> {
    let mut p = vec![0x90, 111];
    p.extend_from_slice(&seq.to_be_bytes());
    p.extend_from_slice(&[0, 0, 0, 1]);
    p.extend_from_slice(&ssrc.to_be_bytes());
    p.extend_from_slice(&[0xBE, 0xDE, 0, 1, 0x10, 0x55, 0, 0]);
    p.extend_from_slice(payload);
    p
}

fn protect(out: &mut Outbound, plain: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buf = plain.to_vec();
    buf.resize(plain.len() + MAX_OVERHEAD, 0);
    let len = out.protect_rtp(&mut buf, plain.len())?;
    buf.truncate(len);
    Ok(buf)
}

/// RFC 3711 appendix B.3: session keys of AES-CM.
#[test]
fn rfc3711_key_derivation() {
    let key = hex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = hex("0EC675AD498AFEEBB6960B3AABE6");
    let prf = cipher::AesCtr::new(&key).unwrap();
    let derived = |label, len| {
        let mut out = vec![0; len];
        keys::derive(&prf, &salt, label, &mut out);
        out
    };
    assert_eq!(derived(0, 16), hex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(derived(2, 14), hex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(
        derived(1, 20),
        hex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4")
    );
}

/// RFC 3711 appendix B.2: key stream of AES-CM.
#[test]
fn rfc3711_key_stream() {
    let ctr = cipher::AesCtr::new(&hex("2B7E151628AED2A6ABF7158809CF4F3C")).unwrap();
    let mut stream = [0u8; 48];
    ctr.apply(
        hex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000")
            .first_chunk()
            .unwrap(),
        &mut stream,
    );
    let expected = "E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0";
    assert_eq!(stream.to_vec(), hex(expected));
}

/// RFC 2202 §3, cases 1 and 2.
#[test]
fn rfc2202_hmac_sha1() {
    let code = |key: &[u8], data: &[u8]| cipher::HmacSha1::new(key).unwrap().sign(&[data]).to_vec();
    assert_eq!(
        code(&[0x0B; 20], b"Hi There"),
        hex("b617318655057264e28bc0b6fb378c8ef146be00")
    );
    assert_eq!(
        code(b"Jefe", b"what do ya want for nothing?"),
        hex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
    );
}

const RFC7714_RTP: &str = "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573";
const RFC7714_RTCP: &str = "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef";

/// RFC 7714 §16.1 and §16.2: session keys are given, not derived.
#[test]
fn rfc7714_rtp() {
    let salt = hex("517569642070726f2071756f");
    let cases = [
        (
            (0..16).collect::<Vec<u8>>(),
            "8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf 765ee439 0cce",
        ),
        (
            (0..32).collect(),
            "8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb 7878d7a7 6c13",
        ),
    ];
    for (key, expected) in cases {
        let keys = Keys::from_session_for_test(&key, &salt);
        let plain = hex(RFC7714_RTP);
        let mut buf = plain.clone();
        buf.resize(plain.len() + 16, 0);
        let len = keys
            .seal_rtp(&mut buf, 12, plain.len(), 0x5501_A0B2, 0xF17B)
            .unwrap();
        assert_eq!(buf[..len], hex(expected));
        assert_eq!(
            keys.open_rtp(&mut buf[..len], 12, 0x5501_A0B2, 0xF17B),
            Ok(plain.len())
        );
        assert_eq!(buf[..plain.len()], plain);
    }
}

/// RFC 7714 §17.1: SRTCP index 0x5d4.
#[test]
fn rfc7714_rtcp() {
    let salt = hex("517569642070726f2071756f");
    let key: Vec<u8> = (0..16).collect();
    let keys = Keys::from_session_for_test(&key, &salt);
    let plain = hex(RFC7714_RTCP);
    let mut buf = plain.clone();
    buf.resize(plain.len() + MAX_OVERHEAD, 0);
    let len = keys
        .seal_rtcp(&mut buf, plain.len(), 0x4D61_7273, 0x5D4)
        .unwrap();
    let expected = "81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872 45d9eade 800005d4";
    assert_eq!(buf[..len], hex(expected));
    assert_eq!(keys.rtcp_index(&buf[..len]), Some(0x5D4));
    assert_eq!(
        keys.open_rtcp(&mut buf[..len], 0x4D61_7273),
        Ok(plain.len())
    );
    assert_eq!(buf[..plain.len()], plain);
}

#[test]
fn round_trip_over_a_rollover_with_reordering() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let order = (0..70_000u32).map(|i| (i ^ 1) as u16);
        for (i, seq) in order.enumerate().filter(|(i, _)| i % 97 < 5) {
            let plain = packet(7, seq, &i.to_be_bytes());
            let mut wire = protect(&mut out, &plain).unwrap();
            assert_eq!(wire.len(), plain.len() + out.rtp_overhead());
            assert_ne!(wire[20..plain.len()], plain[20..], "encrypted");
            assert_eq!(wire[..20], plain[..20], "header in the clear");
            let len = inbound.unprotect_rtp(&mut wire).unwrap();
            assert_eq!(wire[..len], plain);
        }
    }
}

#[test]
fn an_index_is_encrypted_once() {
    for profile in PROFILES {
        let (mut out, _) = pair(profile);
        protect(&mut out, &packet(7, 100, b"a")).unwrap();
        assert_eq!(
            protect(&mut out, &packet(7, 100, b"b")),
            Err(SrtpError::IndexReused)
        );
        protect(&mut out, &packet(8, 100, b"b")).unwrap();
        protect(&mut out, &packet(7, 99, b"b")).unwrap();
        protect(&mut out, &packet(7, 2000, b"b")).unwrap();
        assert_eq!(
            protect(&mut out, &packet(7, 101, b"b")),
            Err(SrtpError::IndexReused),
            "too old to know"
        );
    }
}

#[test]
fn replays_and_forgeries_are_refused_and_change_nothing() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let wire = protect(&mut out, &packet(7, 1, b"hello")).unwrap();
        for i in 0..wire.len() {
            let mut forged = wire.clone();
            forged[i] ^= 1;
            assert!(
                inbound.unprotect_rtp(&mut forged).is_err(),
                "{profile:?} byte {i}"
            );
        }
        for n in 0..wire.len() {
            assert!(
                inbound.unprotect_rtp(&mut wire[..n].to_vec()).is_err(),
                "{profile:?} length {n}"
            );
        }
        assert!(inbound.unprotect_rtp(&mut wire.clone()).is_ok());
        assert_eq!(
            inbound.unprotect_rtp(&mut wire.clone()),
            Err(SrtpError::Replayed)
        );
    }
}

#[test]
fn rtcp_both_ways() {
    for profile in PROFILES {
        let (mut out, mut inbound) = pair(profile);
        let plain = hex("80c90001 00000001 81ce0002 00000001 00000002");
        let mut last = Vec::new();
        for _ in 0..3 {
            let mut buf = plain.clone();
            buf.resize(plain.len() + MAX_OVERHEAD, 0);
            let len = out.protect_rtcp(&mut buf, plain.len()).unwrap();
            buf.truncate(len);
            assert_ne!(buf, last);
            for i in 0..buf.len() {
                let mut forged = buf.clone();
                forged[i] ^= 0x80;
                assert!(
                    inbound.unprotect_rtcp(&mut forged).is_err(),
                    "{profile:?} byte {i}"
                );
            }
            last = buf.clone();
            let len = inbound.unprotect_rtcp(&mut buf).unwrap();
            assert_eq!(buf[..len], plain);
            assert_eq!(
                inbound.unprotect_rtcp(&mut last.clone()),
                Err(SrtpError::Replayed)
            );
        }
        for n in 0..last.len() {
            assert!(inbound.unprotect_rtcp(&mut last[..n].to_vec()).is_err());
        }
    }
}

#[test]
fn too_many_sources() {
    let (mut out, mut inbound) = pair(Profile::AeadAes128Gcm);
    for ssrc in 0..2000 {
        let mut wire = protect(&mut out, &packet(ssrc, 1, b"x")).unwrap();
        inbound.unprotect_rtp(&mut wire).unwrap();
    }
    assert_eq!(inbound.rtp.len(), MAX_INBOUND_SOURCES);
    for ssrc in 2000..MAX_OUTBOUND_SOURCES as u32 {
        protect(&mut out, &packet(ssrc, 1, b"x")).unwrap();
    }
    assert_eq!(
        protect(&mut out, &packet(99_999, 1, b"x")),
        Err(SrtpError::TooManySources)
    );
    assert!(protect(&mut out, &packet(1, 2, b"x")).is_ok());
}

#[test]
fn no_room_spends_no_index() {
    let (mut out, _) = pair(Profile::AeadAes128Gcm);
    let mut plain = packet(1, 1, b"x");
    let len = plain.len();
    assert_eq!(out.protect_rtp(&mut plain, len), Err(SrtpError::NoRoom));
    assert_eq!(out.protect_rtp(&mut plain, len + 1), Err(SrtpError::NoRoom));
    assert!(protect(&mut out, &plain).is_ok());
    assert!(contexts(Profile::AeadAes128Gcm, &[0; 10], DtlsRole::Client).is_none());
}
