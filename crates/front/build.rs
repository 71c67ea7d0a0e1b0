//! Embeds the built web client: a table of all files of `web/dist`, or of a page that tells how to build it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

const PLACEHOLDER: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Pontoon</title>\
<h1>The web client is not in this binary</h1>\
<p>It was compiled before the web client was built. Run <code>make build</code>, or serve a jitsi-meet web tree with \
<code>front.web_root</code>.</p></html>\n";

fn main() -> io::Result<()> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let out = PathBuf::from(env::var("OUT_DIR").unwrap_or_default());
    let dist = manifest.join("../../web/dist");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    if dist.join("index.html").is_file() {
        let dist = dist.canonicalize()?;
        collect(&dist, &dist, &mut files)?;
    } else {
        println!(
            "cargo::warning=web/dist is missing, so the binary has no web client; run `make build`"
        );
        let page = out.join("index.html");
        fs::write(&page, PLACEHOLDER)?;
        files.push(("index.html".to_owned(), page));
    }
    files.sort();

    let mut table = String::from("&[\n");
    for (name, path) in &files {
        // A file's compressed forms belong to its own entry.
        if name.ends_with(".br") || name.ends_with(".gz") {
            continue;
        }
        let form = |extension: &str| {
            let compressed = format!("{name}{extension}");
            match files.iter().find(|(other, _)| *other == compressed) {
                Some((_, path)) => format!("Some(include_bytes!({path:?}))"),
                None => "None".to_owned(),
            }
        };
        let _ = writeln!(
            table,
            "    File {{ name: {name:?}, tag: \"\\\"{:016x}\\\"\", plain: include_bytes!({path:?}), brotli: {}, gzip: {} }},",
            fnv1a(&fs::read(path)?),
            form(".br"),
            form(".gz"),
        );
    }
    table.push(']');
    fs::write(out.join("embedded.rs"), table)
}

fn collect(root: &Path, directory: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            files.push((name.replace('\\', "/"), path));
        }
    }
    Ok(())
}

/// FNV-1a, 64 bits: a stable name for a content; nobody attacks it.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
