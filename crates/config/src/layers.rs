//! What was written: file, environment, command line, later ones winning.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{ConfigError, Origin};
use crate::kind::{Kind, Value};
use crate::options::{OPTIONS, OptionSpec, find};

/// The environment name of a key: `front.https` is `PONTOON_FRONT_HTTPS`.
pub fn env_name(key: &str) -> String {
    format!("PONTOON_{}", key.to_ascii_uppercase().replace('.', "_"))
}

/// Settings as written, each with its place. Add the sources in order of rising weight.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    values: BTreeMap<&'static str, (Value, Origin)>,
}

impl Layers {
    /// Nothing written yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the TOML text of the file at `path`, over what was read before. Relative paths in it count from its directory.
    ///
    /// # Errors
    /// Every mistake found: syntax, unknown keys, values of the wrong kind.
    pub fn add_file(&mut self, path: &Path, text: &str) -> Result<(), Vec<ConfigError>> {
        let at = |offset: usize| Origin::File {
            path: path.to_owned(),
            line: line_of(text, offset),
        };
        let table = DeTable::parse(text).map_err(|error| {
            vec![ConfigError {
                origin: at(error.span().map_or(0, |span| span.start)),
                key: None,
                problem: format!("is not TOML: {}", error.message().replace('\n', ", ")),
                fix: String::new(),
            }]
        })?;
        let mut errors = Vec::new();
        let mut values = Vec::new();
        read_table(table.get_ref(), "", &at, &mut values, &mut errors);
        for (option, value, origin) in values {
            let value = match (option.kind, value) {
                (Kind::Path, Value::Text(text)) => Value::Text(beside(path, text)),
                (_, value) => value,
            };
            self.values.insert(option.key, (value, origin));
        }
        // Tables are sorted by name; people read from the top.
        errors.sort_by_key(|error| match error.origin {
            Origin::File { line, .. } => line,
            _ => 0,
        });
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }

    /// Reads `PONTOON_...` variables. An empty variable counts as absent. Returns the names that look like ours and are not;
    /// they are no error, since platforms invent names after the service's.
    ///
    /// # Errors
    /// Every value of the wrong kind.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Vec<String>, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let mut strange = Vec::new();
        for (name, text) in variables {
            if !name.starts_with("PONTOON_") || name == "PONTOON_CONFIG" || text.is_empty() {
                continue;
            }
            let Some(option) = OPTIONS.iter().find(|option| env_name(option.key) == name) else {
                strange.push(name);
                continue;
            };
            self.add_text(option, Origin::Environment(name), &text, &mut errors);
        }
        if errors.is_empty() {
            Ok(strange)
        } else {
            Err(errors)
        }
    }

    /// Sets one key from the command line; `flag` is what the user typed (`--https`, `--set front.https`).
    ///
    /// # Errors
    /// The key is unknown or the value of the wrong kind.
    pub fn add_flag(&mut self, flag: &str, key: &str, text: &str) -> Result<(), ConfigError> {
        let origin = Origin::Flag(flag.to_owned());
        let Some(option) = find(key) else {
            return Err(unknown_key(key, origin));
        };
        let mut errors = Vec::new();
        self.add_text(option, origin, text, &mut errors);
        errors.pop().map_or(Ok(()), Err)
    }

    fn add_text(
        &mut self,
        option: &'static OptionSpec,
        origin: Origin,
        text: &str,
        errors: &mut Vec<ConfigError>,
    ) {
        // What is typed at a shell counts from where the shell is, not from where the file lies.
        let text = match option.kind {
            Kind::Path => std::path::absolute(text)
                .ok()
                .and_then(|path| path.into_os_string().into_string().ok())
                .unwrap_or_else(|| text.to_owned()),
            _ => text.to_owned(),
        };
        match option.kind.from_text(&text) {
            Ok(value) => drop(self.values.insert(option.key, (value, origin))),
            Err(problem) => errors.push(wrong_value(option, origin, problem)),
        }
    }

    /// The value written for a key and its place.
    pub(crate) fn get(&self, key: &str) -> Option<&(Value, Origin)> {
        self.values.get(key)
    }

    /// Keys that were written, with their place, for `pontoon check`.
    pub fn written(&self) -> impl Iterator<Item = (&'static str, &Origin)> {
        self.values
            .iter()
            .map(|(&key, (_value, origin))| (key, origin))
    }
}

/// The values of a table and of those in it.
fn read_table(
    table: &DeTable<'_>,
    prefix: &str,
    at: &dyn Fn(usize) -> Origin,
    values: &mut Vec<(&'static OptionSpec, Value, Origin)>,
    errors: &mut Vec<ConfigError>,
) {
    for (name, value) in table {
        let key = join_key(prefix, name.get_ref());
        let origin = at(name.span().start);
        if let Some(option) = find(&key) {
            match option.kind.from_toml(value.get_ref()) {
                Ok(value) => values.push((option, value, origin)),
                Err(problem) => errors.push(wrong_value(option, origin, problem)),
            }
        } else if let Some(section) = as_section(&key, value) {
            read_table(section, &key, at, values, errors);
        } else {
            errors.push(unknown_key(&key, origin));
        }
    }
}

/// A path as written in the file at `file`.
fn beside(file: &Path, path: String) -> String {
    let directory = file.parent().unwrap_or(Path::new(""));
    directory
        .join(&path)
        .into_os_string()
        .into_string()
        .unwrap_or(path)
}

fn join_key(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}.{name}")
    }
}

/// The table behind a key that is the beginning of known keys.
fn as_section<'v, 'i>(key: &str, value: &'v Spanned<DeValue<'i>>) -> Option<&'v DeTable<'i>> {
    let known = OPTIONS.iter().any(|option| {
        option
            .key
            .strip_prefix(key)
            .is_some_and(|rest| rest.starts_with('.'))
    });
    value.get_ref().as_table().filter(|_table| known)
}

fn wrong_value(option: &OptionSpec, origin: Origin, problem: String) -> ConfigError {
    let fix = if problem.contains(&option.kind.describe()) {
        String::new()
    } else {
        format!("write {}", option.kind.describe())
    };
    // The problem of a secret may quote it.
    let problem = if option.secret {
        "is not a value of the right kind".to_owned()
    } else {
        problem
    };
    ConfigError {
        origin,
        key: Some(option.key.to_owned()),
        problem,
        fix,
    }
}

fn unknown_key(key: &str, origin: Origin) -> ConfigError {
    let nearest = OPTIONS
        .iter()
        .map(|option| (distance(key, option.key), option.key))
        .min()
        .filter(|&(distance, _key)| distance <= 3);
    // A right name in the wrong section is the commonest mistake of all.
    let last = key.rsplit('.').next().unwrap_or(key);
    let elsewhere = OPTIONS
        .iter()
        .find(|option| option.key.rsplit('.').next() == Some(last))
        .map(|option| option.key);
    let fix = match nearest.map(|(_distance, key)| key).or(elsewhere) {
        Some(suggestion) => format!("did you mean \"{suggestion}\"?"),
        None => "remove it; docs/configuration.md lists all keys".to_owned(),
    };
    ConfigError {
        origin,
        key: Some(key.to_owned()),
        problem: "is not a known key".to_owned(),
        fix,
    }
}

/// Levenshtein distance in bytes; keys are ASCII and short, and longer input is far from any key.
fn distance(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > 3 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.bytes().zip(row.iter_mut().skip(1)) {
            let next = (diagonal + usize::from(x != y))
                .min(left + 1)
                .min(*cell + 1);
            diagonal = *cell;
            *cell = next;
            left = next;
        }
    }
    row.last().copied().unwrap_or(0)
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::{Layers, distance, env_name};
    use crate::kind::Value;

    fn mistakes(text: &str) -> Vec<String> {
        match Layers::new().add_file(Path::new("p.toml"), text) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn mistakes_name_file_line_key_and_fix() {
        let rows = [
            ("", vec![]),
            ("[front]\nhttps = 8443\n", vec![]),
            ("front.https = \"127.0.0.1:8443\"", vec![]),
            (
                "[front]\n\nhttp = 70000",
                vec![
                    "p.toml:3: front.http: 70000 is not a port (0 to 65535); write a port, an \"address:port\", or \"off\"",
                ],
            ),
            (
                "[front]\nhtps = 1",
                vec!["p.toml:2: front.htps: is not a known key; did you mean \"front.https\"?"],
            ),
            (
                "web_root = \"x\"",
                vec!["p.toml:1: web_root: is not a known key; did you mean \"front.web_root\"?"],
            ),
            (
                "[jicofo]\nx = 1",
                vec![
                    "p.toml:1: jicofo: is not a known key; remove it; docs/configuration.md lists all keys",
                ],
            ),
            (
                "[client]\np2p = \"yes\"\nresolution = 9",
                vec![
                    "p.toml:2: client.p2p: is a string, not true or false",
                    "p.toml:3: client.resolution: is not a whole number from 90 to 2160",
                ],
            ),
            (
                "cluster_secret = 5",
                vec!["p.toml:1: cluster_secret: is not a value of the right kind"],
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(mistakes(text), expected, "{text}");
        }
        let syntax = mistakes("[front]\nhttps = = 2");
        assert!(
            syntax.len() == 1 && syntax[0].starts_with("p.toml:2: is not TOML"),
            "{syntax:?}"
        );
        let twice = mistakes("[front]\nhttps = 1\nhttps = 2");
        assert!(
            twice.len() == 1 && twice[0].starts_with("p.toml:3: "),
            "{twice:?}"
        );
    }

    #[test]
    fn later_layers_win_and_empty_variables_do_not_count() {
        let mut layers = Layers::new();
        layers
            .add_file(
                Path::new("p.toml"),
                "[log]\nfilter = \"a\"\nformat = \"json\"",
            )
            .unwrap();
        let variables = [
            ("PONTOON_LOG_FILTER", "b"),
            ("PONTOON_LOG_FORMAT", ""),
            ("PONTOON_SERVICE_HOST", "10.0.0.1"),
            ("PONTOON_CONFIG", "x"),
            ("HOME", "/"),
        ];
        let strange = layers
            .add_environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())))
            .unwrap();
        assert_eq!(strange, ["PONTOON_SERVICE_HOST"]);
        let text = |layers: &Layers, key: &str| layers.get(key).map(|(value, _)| value.clone());
        assert_eq!(
            text(&layers, "log.filter"),
            Some(Value::Text("b".to_owned()))
        );
        assert_eq!(
            text(&layers, "log.format"),
            Some(Value::Text("json".to_owned()))
        );
        layers.add_flag("--log", "log.filter", "c").unwrap();
        assert_eq!(
            text(&layers, "log.filter"),
            Some(Value::Text("c".to_owned()))
        );
        let error = layers.add_flag("--set", "log.filtre", "c").unwrap_err();
        assert!(
            error.to_string().contains("did you mean \"log.filter\""),
            "{error}"
        );
    }

    #[test]
    fn names_of_the_environment() {
        assert_eq!(env_name("front.web_root"), "PONTOON_FRONT_WEB_ROOT");
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abcdefgh", "a"), usize::MAX);
    }

    proptest! {
        #[test]
        fn any_file_is_answered(text in "(\\PC|\n|\\[front\\]|=|\"){0,200}") {
            let _ = mistakes(&text);
        }
    }
}
