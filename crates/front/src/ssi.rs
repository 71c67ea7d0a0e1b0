//! Server-side includes as jitsi-meet pages use them: `#include virtual` and `#echo var default`.

use std::collections::HashMap;

/// Includes within includes, at most.
const MAX_DEPTH: usize = 8;
/// Includes of one page with all that they include, at most.
const MAX_INCLUDES: usize = 256;
/// Bytes of one finished page, at most; what would go beyond is left out.
const MAX_PAGE: usize = 4 * 1024 * 1024;

/// What a page may refer to.
pub trait Source {
    /// The text behind an include; `None` when there is none, which is no error: many are optional.
    fn include(&self, path: &str) -> Option<String>;
}

/// Resolves all directives of `text`. `directory` is that of the page, without slashes at its ends; relative includes count
/// from it.
pub fn resolve(
    text: &str,
    directory: &str,
    variables: &HashMap<&str, String>,
    source: &dyn Source,
) -> String {
    let mut page = Page {
        text: String::with_capacity(text.len()),
        includes: 0,
        variables,
        source,
    };
    page.expand(text, directory, 0);
    page.text
}

/// A page being put together.
struct Page<'a> {
    text: String,
    includes: usize,
    variables: &'a HashMap<&'a str, String>,
    source: &'a dyn Source,
}

impl Page<'_> {
    fn expand(&mut self, text: &str, directory: &str, depth: usize) {
        let mut rest = text;
        while let Some((before, directive)) = rest.split_once("<!--#") {
            self.push(before);
            let Some((directive, after)) = directive.split_once("-->") else {
                self.push("<!--#");
                self.push(directive);
                return;
            };
            rest = after;
            match parse(directive) {
                Some(Directive::Include(path)) => self.include(directory, path, depth),
                Some(Directive::Echo { name, default }) => {
                    let value = self.variables.get(name).map_or(default, String::as_str);
                    self.push(value);
                }
                None => {}
            }
        }
        self.push(rest);
    }

    fn include(&mut self, directory: &str, path: &str, depth: usize) {
        if depth >= MAX_DEPTH || self.includes >= MAX_INCLUDES {
            return;
        }
        self.includes += 1;
        if let Some(path) = join(directory, path)
            && let Some(included) = self.source.include(&path)
        {
            let inner = path
                .rsplit_once('/')
                .map_or("", |(directory, _name)| directory);
            self.expand(&included, inner, depth + 1);
        }
    }

    fn push(&mut self, text: &str) {
        if self.text.len() + text.len() <= MAX_PAGE {
            self.text.push_str(text);
        }
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

    /// Each level would ask for ten times as many as the one before.
    #[test]
    fn a_page_that_includes_itself_often_ends() {
        struct Counted(std::cell::Cell<usize>, String);
        impl Source for Counted {
            fn include(&self, _path: &str) -> Option<String> {
                self.0.set(self.0.get() + 1);
                (self.0.get() <= 10_000).then(|| self.1.clone())
            }
        }
        let page = "<!--#include virtual=\"/a.html\" -->".repeat(10);
        let source = Counted(std::cell::Cell::new(0), page.clone());
        resolve(&page, "", &HashMap::new(), &source);
        assert_eq!(source.0.get(), super::MAX_INCLUDES);
    }

    proptest! {
        #[test]
        fn any_page_ends(text in "(<!--#|-->|include|echo|virtual=\"|\"|loop.html|\\PC){0,60}") {
            resolve(&text, "", &HashMap::new(), &FILES);
        }
    }
}
