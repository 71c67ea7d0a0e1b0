//! What clients will find wrong with a certificate that the server itself can use.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::X509Name;

/// How long before its end a certificate is worth a word.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// Why no client takes the leaf, if that is so.
pub(crate) fn refusal(leaf: &CertificateDer<'_>) -> Option<String> {
    let Ok((_rest, leaf)) = X509Certificate::from_der(leaf) else {
        return Some("the first certificate in it cannot be read; copy the file anew".to_owned());
    };
    (leaf.version().0 == 0).then(|| {
        "the first certificate in it is of X.509 version 1, made without extensions, which TLS libraries refuse; issue it anew \
         with a subjectAltName (openssl x509 -req -extfile ...)"
            .to_owned()
    })
}

/// Sentences that follow the name of the chain's file: it is used, but some or all clients will refuse it. `host` is the
/// name people use, if it is known.
pub(crate) fn warnings(
    chain: &[CertificateDer<'_>],
    host: Option<&str>,
    now: SystemTime,
) -> Vec<String> {
    let chain: Vec<X509Certificate<'_>> = chain
        .iter()
        .filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1))
        .collect();
    let Some(leaf) = chain.first() else {
        return Vec::new();
    };
    let mut found: Vec<String> = chain
        .iter()
        .enumerate()
        .filter_map(|(index, certificate)| out_of_time(index, certificate, now))
        .collect();
    found.extend(wrong_name(leaf, host));
    found.extend(broken_chain(&chain));
    found
}

/// Since when and until when a certificate is valid.
pub(crate) fn of(leaf: &CertificateDer<'_>) -> Option<(SystemTime, SystemTime)> {
    let (_rest, leaf) = X509Certificate::from_der(leaf).ok()?;
    let time = |seconds: i64| {
        let since = Duration::from_secs(u64::try_from(seconds).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    };
    let validity = leaf.validity();
    Some((
        time(validity.not_before.timestamp())?,
        time(validity.not_after.timestamp())?,
    ))
}

/// Whether a certificate is for this host, and not signed by itself.
pub(crate) fn is_issued_for(leaf: &CertificateDer<'_>, host: &str) -> bool {
    let Ok((_rest, leaf)) = X509Certificate::from_der(leaf) else {
        return false;
    };
    leaf.issuer() != leaf.subject() && wrong_name(&leaf, Some(host)).is_none()
}

fn out_of_time(index: usize, certificate: &X509Certificate<'_>, now: SystemTime) -> Option<String> {
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs().cast_signed())
    };
    let which = match index {
        0 => "its certificate".to_owned(),
        _ => format!(
            "certificate {} in it, of \"{}\",",
            index + 1,
            name(certificate.subject())
        ),
    };
    let validity = certificate.validity();
    let (begin, end) = (validity.not_before, validity.not_after);
    if seconds(now) > end.timestamp() {
        Some(format!(
            "{which} expired on {end}: clients refuse it; put the renewed one there, it is taken up at once"
        ))
    } else if seconds(now) < begin.timestamp() {
        Some(format!(
            "{which} is not valid before {begin}: clients refuse it; is this machine's clock right?"
        ))
    } else if seconds(now + SOON) > end.timestamp() {
        Some(format!(
            "{which} expires on {end}; a renewed one is taken up as soon as it is there"
        ))
    } else {
        None
    }
}

fn wrong_name(leaf: &X509Certificate<'_>, host: Option<&str>) -> Option<String> {
    let names = match leaf.subject_alternative_name() {
        Ok(Some(names)) => names.value.general_names.as_slice(),
        _ => &[],
    };
    let names: Vec<String> = names.iter().filter_map(host_name).collect();
    if names.is_empty() {
        return Some(
            "its certificate names no host in a subjectAltName: browsers refuse it; issue it anew with one".to_owned(),
        );
    }
    let host = host?;
    (!names.iter().any(|name| matches(name, host))).then(|| {
        format!(
            "its certificate is for {}, not for {host}: browsers refuse it there; get one for {host}, or set front.public_url to the name people use",
            names.join(", ")
        )
    })
}

fn host_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => {
            let address = match bytes.len() {
                4 => IpAddr::from(<[u8; 4]>::try_from(*bytes).ok()?),
                _ => IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?),
            };
            Some(address.to_string())
        }
        _ => None,
    }
}

/// RFC 6125, section 6.4.3: a star stands for one whole label, the first.
fn matches(name: &str, host: &str) -> bool {
    let same = |a: &str, b: &str| a.trim_end_matches('.').eq_ignore_ascii_case(b);
    match name.strip_prefix("*.") {
        Some(rest) => host
            .split_once('.')
            .is_some_and(|(_label, parent)| same(rest, parent)),
        None => same(name, host.trim_start_matches('[').trim_end_matches(']')),
    }
}

/// What is wrong with the way from the leaf to its issuers.
fn broken_chain(chain: &[X509Certificate<'_>]) -> Option<String> {
    for (index, certificate) in chain.iter().enumerate() {
        let issuer = certificate.issuer();
        // A root, which clients have themselves; whatever follows is superfluous.
        if issuer == certificate.subject() {
            return None;
        }
        let next = chain.get(index + 1);
        if next.is_some_and(|next| next.subject() == issuer) {
            continue;
        }
        let elsewhere = chain.iter().any(|other| other.subject() == issuer);
        return match (next, index) {
            (Some(_), _) if elsewhere => Some(format!(
                "its certificates are out of order: after \"{}\" must come its issuer \"{}\"; some clients refuse them so",
                name(certificate.subject()),
                name(issuer)
            )),
            (Some(next), _) => Some(format!(
                "its chain is broken: \"{}\" was issued by \"{}\", but \"{}\" follows; take the chain that belongs to the certificate",
                name(certificate.subject()),
                name(issuer),
                name(next.subject())
            )),
            (None, 0) => Some(format!(
                "it holds the server's certificate alone: mobile apps and many programs refuse it unless they know its issuer \"{}\"; use the file with the whole chain, often called fullchain.pem",
                name(issuer)
            )),
            (None, _) => None,
        };
    }
    None
}

fn name(name: &X509Name<'_>) -> String {
    let common = name.iter_common_name().next();
    match common.and_then(|common| common.as_str().ok()) {
        Some(common) => common.to_owned(),
        None => name.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::pki_types::CertificateDer;

    use super::{matches, warnings};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    /// Now, in whole seconds as certificates have them.
    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
    }

    fn params(name: &str, hosts: &[&str]) -> CertificateParams {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = (now() - DAY).into();
        params.not_after = (now() + 90 * DAY).into();
        params
    }

    fn authority(name: &str) -> (CertificateParams, KeyPair) {
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params, KeyPair::generate().unwrap())
    }

    /// A leaf for `meet.test`, its intermediate, and the root.
    fn chain(change: impl FnOnce(&mut CertificateParams)) -> Vec<CertificateDer<'static>> {
        let (root, root_key) = authority("Root");
        let root_der = root.self_signed(&root_key).unwrap().der().clone();
        let root = Issuer::new(root, root_key);
        let (middle, middle_key) = authority("Middle");
        let middle_der = middle.signed_by(&middle_key, &root).unwrap().der().clone();
        let middle = Issuer::new(middle, middle_key);
        let mut leaf = params("leaf", &["meet.test", "*.rooms.test", "192.0.2.1"]);
        change(&mut leaf);
        let key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&key, &middle).unwrap().der().clone();
        vec![leaf, middle_der, root_der]
    }

    #[test]
    fn a_good_chain_is_not_worth_a_word() {
        let chain = chain(|_| {});
        for length in [2, 3] {
            for host in [
                None,
                Some("meet.test"),
                Some("a.rooms.test"),
                Some("192.0.2.1"),
            ] {
                let found = warnings(&chain[..length], host, now());
                assert!(found.is_empty(), "{found:?}");
            }
        }
    }

    #[test]
    fn what_clients_will_refuse_is_said() {
        let good = chain(|_| {});
        let one = |chain: &[CertificateDer<'_>], host| {
            let found = warnings(chain, Some(host), now());
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].clone()
        };
        let expired = chain(|leaf| leaf.not_after = (now() - Duration::from_secs(60)).into());
        assert!(one(&expired, "meet.test").starts_with("its certificate expired on Jan 15"));
        let early = chain(|leaf| leaf.not_before = (now() + DAY).into());
        assert!(one(&early, "meet.test").starts_with("its certificate is not valid before"));
        let soon = chain(|leaf| leaf.not_after = (now() + 3 * DAY).into());
        assert!(one(&soon, "meet.test").starts_with("its certificate expires on"));
        assert!(one(&good, "other.test").starts_with(
            "its certificate is for meet.test, *.rooms.test, 192.0.2.1, not for other.test"
        ));
        let nameless = chain(|leaf| leaf.subject_alt_names.clear());
        assert!(one(&nameless, "meet.test").contains("no host in a subjectAltName"));
        assert!(one(&good[..1], "meet.test").contains("alone: mobile apps"));
        let [leaf, middle, root] = good.as_slice() else {
            panic!("three certificates");
        };
        let disordered = [leaf.clone(), root.clone(), middle.clone()];
        assert!(
            one(&disordered, "meet.test")
                .contains("after \"leaf\" must come its issuer \"Middle\"")
        );
        let other = [leaf.clone(), root.clone()];
        assert!(one(&other, "meet.test").contains("issued by \"Middle\", but \"Root\" follows"));
        // All at once, for certificates further on too.
        let found = warnings(&good, Some("other.test"), now() + 100 * DAY);
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found[1].starts_with("certificate 2 in it, of \"Middle\", expired"));
    }

    #[test]
    fn names_match_as_in_browsers() {
        for (name, host, expected) in [
            ("Meet.test", "meet.TEST", true),
            ("*.test", "meet.test", true),
            ("*.test", "a.meet.test", false),
            ("*.test", "test", false),
            ("2001:db8::1", "[2001:db8::1]", true),
        ] {
            assert_eq!(matches(name, host), expected, "{name} {host}");
        }
    }
}
