//! Checks of the workspace that no other tool makes: `cargo xtask tidy`.

mod circles;
mod files;
mod manifests;
mod texts;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo xtask tidy");
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut findings = manifests::check(&root);
    findings.extend(texts::check(&root));
    findings.extend(circles::check(&root));
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    println!("tidy: {} findings", findings.len());
    if findings.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
