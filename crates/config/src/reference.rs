//! The reference page, the sample file and the JSON schema, all from the one list.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::kind::Kind;
use crate::layers::env_name;
use crate::options::{DefaultValue, OPTIONS, OptionSpec, SECTIONS};

/// The page `docs/configuration.md`.
pub fn markdown() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Written by `cargo run -p pontoon -- reference`; a test compares. -->\n\n\
         All settings stand in one TOML file, given by `--config FILE` or `PONTOON_CONFIG`; without one, every default holds.\n\
         An environment variable wins over the file, an option of the command over both: `--set front.https=8443` sets any key.\n\
         Lists in the environment and on the command line are separated by commas. `pontoon check` reads everything, says what is\n\
         wrong and where, and starts nothing.\n",
    );
    for section in SECTIONS {
        let heading = if section.name.is_empty() {
            "top level"
        } else {
            section.name
        };
        let _ = write!(page, "\n## {heading}\n\n{}\n", section.help);
        for option in of_section(section.name) {
            let _ = write!(page, "\n### `{}`\n\n{}\n\n", option.key, option.help);
            let _ = writeln!(page, "- Takes {}.", option.kind.describe());
            let _ = writeln!(page, "- Default: {}. {}", default_text(option), option.why);
            let _ = writeln!(page, "- Environment: `{}`.", env_name(option.key));
        }
    }
    page
}

/// A configuration file with every key, commented out.
pub fn sample() -> String {
    let mut file =
        String::from("# Every key with its default. Take the \"#\" away to change one.\n");
    for section in SECTIONS {
        file.push('\n');
        if !section.name.is_empty() {
            let _ = writeln!(file, "[{}]", section.name);
        }
        for option in of_section(section.name) {
            let name = option.key.rsplit('.').next().unwrap_or(option.key);
            let _ = match option.default {
                DefaultValue::Toml(value) => writeln!(file, "#{name} = {value}"),
                DefaultValue::Computed(how) => {
                    writeln!(file, "#{name} = # {}", how.replace('`', ""))
                }
            };
        }
    }
    file
}

/// The JSON schema of the file.
pub fn json_schema() -> Value {
    let mut properties = Map::new();
    for section in SECTIONS {
        let of_section: Map<String, Value> = of_section(section.name)
            .map(|option| {
                let name = option.key.rsplit('.').next().unwrap_or(option.key);
                (name.to_owned(), option_schema(option))
            })
            .collect();
        if section.name.is_empty() {
            properties.extend(of_section);
        } else {
            let schema = json!({
                "type": "object",
                "description": section.help,
                "properties": of_section,
                "additionalProperties": false,
            });
            properties.insert(section.name.to_owned(), schema);
        }
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Pontoon configuration",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

fn of_section(section: &'static str) -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS
        .iter()
        .filter(move |option| option.key.split_once('.').map_or("", |(name, _)| name) == section)
}

fn default_text(option: &OptionSpec) -> String {
    match option.default {
        DefaultValue::Toml(value) => format!("`{value}`"),
        DefaultValue::Computed(how) => how.to_owned(),
    }
}

fn option_schema(option: &OptionSpec) -> Value {
    let mut schema = match option.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Choice(words) => json!({ "enum": words }),
        Kind::Listen => json!({ "type": ["integer", "string"] }),
        Kind::Text | Kind::Path | Kind::Domain => json!({ "type": "string", "minLength": 1 }),
        Kind::List | Kind::Networks | Kind::Addresses => {
            json!({ "type": "array", "items": { "type": "string" } })
        }
        Kind::Map => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
    };
    if let Some(object) = schema.as_object_mut() {
        object.insert(
            "description".to_owned(),
            Value::String(option.help.to_owned()),
        );
    }
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{json_schema, markdown, sample};
    use crate::layers::Layers;
    use crate::options::OPTIONS;

    #[test]
    fn the_page_in_the_repository_is_current() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let written = std::fs::read_to_string(page).unwrap_or_default();
        assert!(
            written == markdown(),
            "docs/configuration.md is stale: cargo run -p pontoon -- reference > docs/configuration.md"
        );
    }

    #[test]
    fn the_sample_parses_as_it_is_and_with_its_defaults_taken() {
        let path = Path::new("sample.toml");
        Layers::new().add_file(path, &sample()).expect("the sample");
        let taken: String = sample()
            .lines()
            .filter(|line| !line.contains(" = # "))
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| rest.contains(" = "))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        Layers::new()
            .add_file(path, &taken)
            .expect("the sample with every line taken");
    }

    #[test]
    fn the_schema_has_every_key() {
        let schema = json_schema();
        for option in OPTIONS {
            let pointer = match option.key.split_once('.') {
                Some((section, name)) => format!("/properties/{section}/properties/{name}/type"),
                None => format!("/properties/{}/type", option.key),
            };
            let pointer_enum = pointer.replace("/type", "/enum");
            assert!(
                schema
                    .pointer(&pointer)
                    .or_else(|| schema.pointer(&pointer_enum))
                    .is_some(),
                "{pointer}"
            );
        }
    }
}
