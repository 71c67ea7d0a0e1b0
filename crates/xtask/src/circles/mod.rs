//! Rules on the files of a crate: none depend on each other in a circle (see CONTRIBUTING.md, "Order").

mod graph;
mod modules;
mod uses;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::files;
use graph::{Circle, Graph, circles};
use modules::Crate;
use uses::{Reason, Uses};

/// All findings about circles.
pub(crate) fn check(root: &Path) -> Vec<String> {
    let mut findings = Vec::new();
    let Ok(crates) = std::fs::read_dir(root.join("crates")) else {
        return vec!["crates: cannot be read".to_owned()];
    };
    let mut crates: Vec<_> = crates
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    crates.sort();
    for path in crates {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default().to_owned();
        for top in ["lib.rs", "main.rs"] {
            let top = path.join("src").join(top);
            if top.is_file() {
                match Crate::read(&top, &|path| std::fs::read_to_string(path).ok()) {
                    Ok(read) => findings.extend(rules(root, &name, &read)),
                    Err(problem) => findings.push(problem),
                }
            }
        }
    }
    findings
}

fn rules(root: &Path, name: &str, read: &Crate) -> Vec<String> {
    let shown = |file: usize| files::shown(root, &read.files[file].path);
    let (uses, misplaced) = uses::find(read);
    let mut findings = Vec::new();
    for found in &misplaced {
        findings.push(format!(
            "{}:{}: methods of {}, which is at home in {}; they may stand there or in files below it",
            shown(found.file),
            found.line,
            found.name,
            shown(found.home)
        ));
    }
    for place in places(read) {
        let level = Level::new(read, &uses, &place);
        for circle in circles(&level.graph) {
            findings.push(level.describe(name, &place, &circle, &shown));
        }
    }
    findings
}

/// Every module that has modules below it, the root of the crate first.
fn places(read: &Crate) -> BTreeSet<Vec<String>> {
    let places = read.files.iter().map(|file| &file.place);
    places
        .filter_map(|place| Some(place.split_last()?.1.to_vec()))
        .collect()
}

/// A module's own file and the modules right below it, each with all that is under it.
struct Level<'a> {
    graph: Graph,
    /// A use behind each step: from which file to which, and why.
    steps: BTreeMap<(String, String), (usize, usize, &'a Reason)>,
}

impl<'a> Level<'a> {
    fn new(read: &Crate, uses: &'a Uses, place: &[String]) -> Self {
        let mut level = Self {
            graph: Graph::new(),
            steps: BTreeMap::new(),
        };
        let entry = |file: usize| {
            let rest = read.files[file].place.strip_prefix(place)?;
            Some(rest.first().cloned().unwrap_or_else(|| "itself".to_owned()))
        };
        for ((from, to), reason) in uses {
            let (Some(a), Some(b)) = (entry(*from), entry(*to)) else {
                continue;
            };
            if a != b {
                level.graph.entry(a.clone()).or_default().insert(b.clone());
                level.steps.entry((a, b)).or_insert((*from, *to, reason));
            }
        }
        level
    }

    fn describe(
        &self,
        name: &str,
        place: &[String],
        circle: &Circle,
        shown: &dyn Fn(usize) -> String,
    ) -> String {
        let mut place = place.to_vec();
        place.insert(0, name.to_owned());
        let members: Vec<&str> = circle.members.iter().map(String::as_str).collect();
        let mut text = format!(
            "{}: {} modules use each other in a circle: {}",
            place.join("::"),
            members.len(),
            members.join(", ")
        );
        let next = circle.way.iter().skip(1).chain(circle.way.first());
        for (from, to) in circle.way.iter().zip(next) {
            if let Some((file, other, reason)) = self.steps.get(&(from.clone(), to.clone())) {
                text += &format!(
                    "\n    {}:{} uses {} of {}",
                    shown(*file),
                    reason.line,
                    reason.name,
                    shown(*other)
                );
            }
        }
        text
    }
}

#[cfg(test)]
mod tests;
