//! Rules on files: a first line that says what a file is for, a length one can read, nothing of the place it was written.

use std::path::Path;

use crate::files;

/// Lines of one source file, at most.
const MAX_LINES: usize = 800;

/// Source files, by ending.
const SOURCES: [&str; 6] = ["rs", "ts", "tsx", "mjs", "js", "css"];

/// Files that are looked through for words.
const TEXTS: [&str; 14] = [
    "rs", "ts", "tsx", "mjs", "js", "css", "html", "md", "toml", "json", "sh", "yml", "txt", "xml",
];

/// Parts of words that have no place here, each written in two so that this list does not find itself.
const FOREIGN: [(&str, &str); 9] = [
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/tmp/", "board"),
    ("/tmp/", "peers"),
    ("/tmp/", "target"),
    ("TO", "DO"),
    ("FIX", "ME"),
    ("XX", "X:"),
    ("\"resol", "ved\": \"http"),
];

/// All findings about files.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    for path in files::below(root) {
        let ending = path
            .extension()
            .and_then(|ending| ending.to_str())
            .unwrap_or_default();
        if !TEXTS.contains(&ending) {
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let shown = files::shown(root, &path);
        findings.extend(rules(&shown, ending, &text));
    }
    findings
}

fn rules(name: &str, ending: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if SOURCES.contains(&ending) && lines > MAX_LINES {
        findings.push(format!(
            "{name}: {lines} lines; split it (at most {MAX_LINES})"
        ));
    }
    if ending == "rs" && !text.starts_with("//!") {
        findings.push(format!(
            "{name}: does not begin with a //! line that says what it is for"
        ));
    }
    for (index, line) in text.lines().enumerate() {
        for (a, b) in FOREIGN {
            if line.contains(&format!("{a}{b}")) {
                findings.push(format!("{name}:{}: has \"{a}{b}\"", index + 1));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::rules;

    #[test]
    fn broken_rules_are_found() {
        assert_eq!(
            rules("a.rs", "rs", "//! A.\nfn a() {}\n"),
            Vec::<String>::new()
        );
        assert_eq!(rules("a.rs", "rs", "fn a() {}\n").len(), 1);
        assert_eq!(rules("a.ts", "ts", &"x\n".repeat(801)).len(), 1);
        assert_eq!(rules("a.md", "md", &"x\n".repeat(801)).len(), 0);
        let foreign = format!("see /wo{} and TO{}\n", "rk/main", "DO");
        assert_eq!(rules("a.md", "md", &foreign).len(), 2);
    }
}
