//! Rules on crates: rings, pure cores, who may name which library.

use std::path::Path;

use toml::{Table, Value};

use crate::files;

/// Rings from the inside out; a crate uses its own and those before.
const RINGS: [&str; 5] = ["vocabulary", "core", "host", "assembly", "test"];

/// What needs an operating system, a clock or a runtime; not in vocabulary and cores.
const OUTSIDE: [&str; 11] = [
    "tokio",
    "tokio-rustls",
    "axum",
    "hyper",
    "hyper-util",
    "tower-http",
    "tokio-tungstenite",
    "socket2",
    "libc",
    "if-addrs",
    "tracing-subscriber",
];

/// Libraries that one crate wraps for all others; `bot` has its own stack, to judge ours.
const WRAPPED: [(&str, &[&str]); 6] = [
    ("is", &["rtc"]),
    ("dimpl", &["rtc"]),
    ("dcsctp", &["rtc"]),
    ("sctp-proto", &["rtc"]),
    ("str0m", &["bot"]),
    ("rxml", &["stanza"]),
];

struct Crate {
    name: String,
    ring: String,
    manifest: Table,
}

/// All findings about manifests.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let mut crates = Vec::new();
    for path in files::below(&root.join("crates")) {
        if path.file_name().is_none_or(|name| name != "Cargo.toml") {
            continue;
        }
        let shown = files::shown(root, &path);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        match read(&text) {
            Ok(found) => crates.push(found),
            Err(problem) => findings.push(format!("{shown}: {problem}")),
        }
    }
    for found in &crates {
        findings.extend(rules(found, &crates));
    }
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for Crate { name, .. } in &crates {
        if !architecture.contains(&format!("`{name}`")) {
            findings.push(format!("ARCHITECTURE.md: does not name the crate `{name}`"));
        }
    }
    findings
}

fn read(text: &str) -> Result<Crate, String> {
    let manifest: Table = text
        .parse()
        .map_err(|error| format!("is not TOML: {error}"))?;
    let text_at = |path: &[&str]| {
        at(&manifest, path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let name = text_at(&["package", "name"]).ok_or("has no name")?;
    if text_at(&["package", "description"]).is_none() {
        return Err("has no description".to_owned());
    }
    let ring = text_at(&["package", "metadata", "ring"])
        .filter(|ring| RINGS.contains(&ring.as_str()))
        .ok_or(format!("package.metadata.ring is not one of {RINGS:?}"))?;
    if at(&manifest, &["lints", "workspace"]).and_then(Value::as_bool) != Some(true) {
        return Err("does not take the workspace's lints".to_owned());
    }
    Ok(Crate {
        name,
        ring,
        manifest,
    })
}

fn rules(found: &Crate, crates: &[Crate]) -> Vec<String> {
    let mut findings = Vec::new();
    let rank = |ring: &str| RINGS.iter().position(|known| *known == ring);
    let name = &found.name;
    for dependency in keys(&found.manifest, "dependencies") {
        if let Some(other) = crates.iter().find(|other| other.name == dependency)
            && rank(&other.ring) > rank(&found.ring)
        {
            findings.push(format!(
                "{name} ({}) uses {dependency} of a ring outside it ({})",
                found.ring, other.ring
            ));
        }
        if rank(&found.ring) <= rank("core") && OUTSIDE.contains(&dependency.as_str()) {
            findings.push(format!("{name} is a pure crate and uses {dependency}"));
        }
    }
    // Tests may judge us with any stack.
    let everything = ["dependencies", "build-dependencies"];
    for dependency in everything
        .iter()
        .flat_map(|table| keys(&found.manifest, table))
    {
        if let Some((_, owners)) = WRAPPED.iter().find(|(library, _)| *library == dependency)
            && !owners.contains(&name.as_str())
        {
            findings.push(format!(
                "{name} uses {dependency}, which only {owners:?} may"
            ));
        }
    }
    findings
}

fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (last, parents) = path.split_last()?;
    parents
        .iter()
        .try_fold(table, |table, key| table.get(*key)?.as_table())?
        .get(*last)
}

fn keys(manifest: &Table, table: &str) -> Vec<String> {
    let table = manifest.get(table).and_then(Value::as_table);
    table
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{Crate, read, rules};

    fn make(name: &str, ring: &str, dependencies: &str) -> Crate {
        read(&format!(
            "[package]\nname = \"{name}\"\ndescription = \"d\"\n[package.metadata]\nring = \"{ring}\"\n\
             [lints]\nworkspace = true\n[dependencies]\n{dependencies}"
        ))
        .unwrap()
    }

    #[test]
    fn broken_rules_are_found() {
        let crates = [
            make("stanza", "vocabulary", "rxml.workspace = true"),
            make(
                "sfu",
                "core",
                "stanza.workspace = true\ntokio.workspace = true\ndimpl.workspace = true",
            ),
            make("xmpp", "core", "bridge.workspace = true"),
            make(
                "bridge",
                "host",
                "sfu.workspace = true\ntokio.workspace = true",
            ),
        ];
        let count = |index: usize| rules(&crates[index], &crates).len();
        assert_eq!([count(0), count(1), count(2), count(3)], [0, 2, 1, 0]);
    }

    #[test]
    fn a_crate_says_what_and_where_it_is() {
        for text in ["[package]\nname = \"a\"", "x = ", ""] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
