//! Server-side includes as jitsi-meet pages use them: `#include virtual` and `#echo var default`.

use std::collections::HashMap;

/// Includes within includes, at most.
const MAX_DEPTH: usize = 8;
/// Bytes of one finished page, at most; what would go beyond is left out.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// What a page may refer to.
pub(crate) trait Source {
    /// The text behind an include; `None` when there is none, which is no error: many are optional.
    fn include(&self, path: &str) -> Option<String>;
}

/// Resolves all directives of `text`. `directory` is that of the page, without slashes at its ends; relative includes count
/// from it.
pub(crate) fn resolve(
    text: &str,
    directory: &str,
    variables: &HashMap<&str, String>,
    source: &dyn Source,
) -> String {
    let mut page = String::with_capacity(text.len());
    expand(text, directory, variables, source, 0, &mut page);
    page
}

fn expand(
    text: &str,
    directory: &str,
    variables: &HashMap<&str, String>,
    source: &dyn Source,
    depth: usize,
    page: &mut String,
) {
    let mut rest = text;
    while let Some((before, directive)) = rest.split_once("<!--#") {
        push(page, before);
        let Some((directive, after)) = directive.split_once("-->") else {
            push(page, "<!--#");
            push(page, directive);
            return;
        };
        rest = after;
        match parse(directive) {
            Some(Directive::Include(path)) if depth < MAX_DEPTH => {
                if let Some(path) = join(directory, path)
                    && let Some(included) = source.include(&path)
                {
                    let inner = path
                        .rsplit_once('/')
                        .map_or("", |(directory, _name)| directory);
                    expand(&included, inner, variables, source, depth + 1, page);
                }
            }
            Some(Directive::Echo { name, default }) => {
                push(page, variables.get(name).map_or(default, String::as_str));
            }
            Some(Directive::Include(_)) | None => {}
        }
    }
    push(page, rest);
}

fn push(page: &mut String, text: &str) {
    if page.len() + text.len() <= MAX_PAGE {
        page.push_str(text);
    }
}

enum Directive<'a> {
    Include(&'a str),
    Echo { name: &'a str, default: &'a str },
}

fn parse(directive: &str) -> Option<Directive<'_>> {
    let directive = directive.trim_start();
    if let Some(attributes) = directive.strip_prefix("include") {
        attribute(attributes, "virtual")
            .or_else(|| attribute(attributes, "file"))
            .map(Directive::Include)
    } else if let Some(attributes) = directive.strip_prefix("echo") {
        let default = attribute(attributes, "default").unwrap_or("");
        attribute(attributes, "var").map(|name| Directive::Echo { name, default })
    } else {
        None
    }
}

fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let (_before, value) = attributes.split_once(&format!("{name}=\""))?;
    value.split_once('"').map(|(value, _after)| value)
}

/// Joins and normalises; `None` when the path leads above the root.
fn join(directory: &str, path: &str) -> Option<String> {
    let from_root = path.starts_with('/');
    let mut segments: Vec<&str> = if from_root {
        Vec::new()
    } else {
        directory
            .split('/')
            .filter(|part| !part.is_empty())
            .collect()
    };
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()?),
            segment => segments.push(segment),
        }
    }
    Some(segments.join("/"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::{Source, resolve};

    struct Files(&'static [(&'static str, &'static str)]);

    impl Source for Files {
        fn include(&self, path: &str) -> Option<String> {
            self.0
                .iter()
                .find(|(name, _)| *name == path)
                .map(|(_, text)| (*text).to_owned())
        }
    }

    const FILES: Files = Files(&[
        ("head.html", "<head>"),
        (
            "config.js",
            "var subdir='<!--# echo var=\"subdir\" default=\"\" -->';",
        ),
        ("static/a.html", "[<!--#include virtual=\"b.html\" -->]"),
        ("static/b.html", "b"),
        ("loop.html", "x<!--#include virtual=\"/loop.html\" -->"),
    ]);

    fn check(text: &str, expected: &str) {
        let variables = HashMap::from([("subdir", "acme/".to_owned())]);
        assert_eq!(resolve(text, "", &variables, &FILES), expected, "{text}");
    }

    #[test]
    fn directives() {
        check("plain <!-- comment -->", "plain <!-- comment -->");
        check("<!--#include virtual=\"head.html\" -->!", "<head>!");
        check(
            "<!--#include virtual=\"/config.js\" -->",
            "var subdir='acme/';",
        );
        check("a<!--#include virtual=\"missing.html\" -->b", "ab");
        check("<!--#include virtual=\"static/a.html\"-->", "[b]");
        check("<!--#include virtual=\"../../etc/passwd\" -->", "");
        check("<!--#echo var=\"other\" default=\"d\" -->", "d");
        check("<!--#set var=\"x\" value=\"y\" -->z", "z");
        check(
            "open <!--#include virtual=\"head.html\"",
            "open <!--#include virtual=\"head.html\"",
        );
        check("<!--#include virtual=\"loop.html\" -->", "xxxxxxxx");
    }

    proptest! {
        #[test]
        fn any_page_ends(text in "(<!--#|-->|include|echo|virtual=\"|\"|loop.html|\\PC){0,60}") {
            resolve(&text, "", &HashMap::new(), &FILES);
        }
    }
}
