//! One crate as modules and the names in them, and what a path in one of them means.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, Meta, UseTree, Visibility};

/// How many re-exports a path may lead through.
const MAX_REEXPORTS: usize = 16;

/// A source file and the module it is.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: PathBuf,
    /// Names of the modules from the root of the crate down to this one.
    pub(super) place: Vec<String>,
}

/// A module: a file, or a part of one.
pub(super) struct Module {
    pub(super) file: usize,
    /// What stands in it apart from modules and tests.
    pub(super) items: Vec<Item>,
    parent: Option<usize>,
    names: HashMap<String, Vec<Name>>,
    /// Modules whose names are all taken over.
    globs: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
enum Name {
    Item,
    Module(usize),
    Use(Vec<String>),
}

/// What a path names: an item of a file, and the next word of the path, if there is one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) file: usize,
    pub(super) name: String,
    pub(super) member: Option<String>,
}

/// One name that a `use` brings.
#[derive(Debug)]
pub(super) struct Used {
    pub(super) path: Vec<String>,
    pub(super) line: usize,
    pub(super) name: Option<String>,
}

/// Gives the text of a file, if there is one.
pub(super) type Load<'a> = dyn Fn(&Path) -> Option<String> + 'a;

/// A crate, read.
#[derive(Default)]
pub(super) struct Crate {
    pub(super) files: Vec<File>,
    pub(super) modules: Vec<Module>,
    /// Macros by name, with their file: their scope is the text that follows.
    macros: HashMap<String, usize>,
}

impl Crate {
    /// Reads the crate whose root file is `root`; `load` gives the text of a file, if there is one.
    ///
    /// # Errors
    /// One sentence about the first file that is missing or is not Rust.
    pub(super) fn read(root: &Path, load: &Load<'_>) -> Result<Self, String> {
        let mut read = Self::default();
        read.add_file(load, root.to_owned(), Vec::new(), None)?;
        Ok(read)
    }

    fn add_file(
        &mut self,
        load: &Load<'_>,
        path: PathBuf,
        place: Vec<String>,
        parent: Option<usize>,
    ) -> Result<usize, String> {
        let text = load(&path).ok_or_else(|| format!("{}: cannot be read", path.display()))?;
        let parsed =
            syn::parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let file = self.files.len();
        self.files.push(File {
            path,
            place: place.clone(),
        });
        self.add_module(load, file, place, parent, parsed.items)
    }

    fn add_module(
        &mut self,
        load: &Load<'_>,
        file: usize,
        place: Vec<String>,
        parent: Option<usize>,
        items: Vec<Item>,
    ) -> Result<usize, String> {
        let module = self.modules.len();
        self.modules.push(Module {
            file,
            items: Vec::new(),
            parent,
            names: HashMap::new(),
            globs: Vec::new(),
        });
        for item in items {
            if attributes(&item).iter().any(is_of_tests) {
                continue;
            }
            match item {
                Item::Mod(inner) => {
                    let name = inner.ident.to_string();
                    let mut place = place.clone();
                    place.push(name.clone());
                    let child = match inner.content {
                        Some((_, items)) => {
                            self.add_module(load, file, place, Some(module), items)?
                        }
                        None => {
                            let path = self.file_of(load, file, &name)?;
                            self.add_file(load, path, place, Some(module))?
                        }
                    };
                    self.name(module, name, Name::Module(child));
                }
                item => {
                    self.take_names(module, &item);
                    self.modules[module].items.push(item);
                }
            }
        }
        Ok(module)
    }

    /// The file of `mod name;` in `file`.
    fn file_of(&self, load: &Load<'_>, file: usize, name: &str) -> Result<PathBuf, String> {
        let path = &self.files[file].path;
        let folder = path.parent().unwrap_or(path);
        let stem = path.file_stem().unwrap_or_default();
        let folder = if ["lib", "main", "mod"].iter().any(|own| stem == *own) {
            folder.to_owned()
        } else {
            folder.join(stem)
        };
        [format!("{name}.rs"), format!("{name}/mod.rs")]
            .iter()
            .map(|file| folder.join(file))
            .find(|path| load(path).is_some())
            .ok_or_else(|| format!("{}: mod {name} has no file", path.display()))
    }

    fn name(&mut self, module: usize, name: String, what: Name) {
        self.modules[module]
            .names
            .entry(name)
            .or_default()
            .push(what);
    }

    fn take_names(&mut self, module: usize, item: &Item) {
        let name = match item {
            Item::Const(item) => &item.ident,
            Item::Enum(item) => &item.ident,
            Item::Fn(item) => &item.sig.ident,
            Item::Static(item) => &item.ident,
            Item::Struct(item) => &item.ident,
            Item::Trait(item) => &item.ident,
            Item::TraitAlias(item) => &item.ident,
            Item::Type(item) => &item.ident,
            Item::Union(item) => &item.ident,
            Item::Use(item) => {
                for used in uses(item) {
                    match used.name {
                        Some(name) => self.name(module, name, Name::Use(used.path)),
                        None => self.modules[module].globs.push(used.path),
                    }
                }
                return;
            }
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    let file = self.modules[module].file;
                    self.macros.insert(name.to_string(), file);
                    self.name(module, name.to_string(), Name::Item);
                } else {
                    for name in made_by_macro(item.mac.tokens.clone()) {
                        self.name(module, name, Name::Item);
                    }
                }
                return;
            }
            _ => return,
        };
        self.name(module, name.to_string(), Name::Item);
    }

    /// The items of this crate that `path`, written in `module`, names.
    pub(super) fn resolve(&self, module: usize, path: &[String]) -> Vec<Target> {
        let mut found = Vec::new();
        self.follow(module, path, MAX_REEXPORTS, &mut found);
        found.sort();
        found.dedup();
        found
    }

    /// The file of the macro `name`, wherever it is written.
    pub(super) fn macro_file(&self, name: &str) -> Option<usize> {
        self.macros.get(name).copied()
    }

    fn follow(&self, module: usize, path: &[String], left: usize, found: &mut Vec<Target>) {
        let Some((first, rest)) = path.split_first() else {
            return;
        };
        match first.as_str() {
            "crate" => self.descend(0, rest, left, found),
            "self" => self.descend(module, rest, left, found),
            "super" => {
                if let Some(parent) = self.modules[module].parent {
                    self.follow_from(parent, rest, left, found);
                }
            }
            _ => self.descend(module, path, left, found),
        }
    }

    /// After `super`: another `super`, or a name.
    fn follow_from(&self, module: usize, path: &[String], left: usize, found: &mut Vec<Target>) {
        if path.first().is_some_and(|first| first == "super") {
            self.follow(module, path, left, found);
        } else {
            self.descend(module, path, left, found);
        }
    }

    /// The first word of `path` is a name in `module`.
    fn descend(&self, module: usize, path: &[String], left: usize, found: &mut Vec<Target>) {
        let (Some((first, rest)), Some(left)) = (path.split_first(), left.checked_sub(1)) else {
            return;
        };
        let here = &self.modules[module];
        let Some(names) = here.names.get(first) else {
            for glob in &here.globs {
                // What a glob brings is never looked up through the glob itself.
                let mut whole = glob.clone();
                whole.extend(path.iter().cloned());
                if glob.first().is_none_or(|own| own != first) {
                    self.follow(module, &whole, left, found);
                }
            }
            return;
        };
        for name in names {
            match name {
                Name::Item => found.push(Target {
                    file: here.file,
                    name: first.clone(),
                    member: rest.first().cloned(),
                }),
                Name::Module(child) => self.descend(*child, rest, left, found),
                Name::Use(target) => {
                    // `use focus::Focus` in a module that has a child `focus`; other crates lead nowhere.
                    if target.first() == Some(first) && target.len() == 1 {
                        continue;
                    }
                    let mut whole = target.clone();
                    whole.extend(rest.iter().cloned());
                    self.follow(module, &whole, left, found);
                }
            }
        }
    }
}

/// The names that a `use` brings, one by one.
pub(super) fn uses(item: &syn::ItemUse) -> Vec<Used> {
    let mut found = Vec::new();
    if item.leading_colon.is_none() {
        flatten(&item.tree, &mut Vec::new(), &mut found);
    }
    found
}

/// Whether a `use` only hands on what it names.
pub(super) fn is_reexport(item: &syn::ItemUse) -> bool {
    !matches!(item.vis, Visibility::Inherited)
}

fn flatten(tree: &UseTree, path: &mut Vec<String>, found: &mut Vec<Used>) {
    let (last, name, span) = match tree {
        UseTree::Path(inner) => {
            path.push(inner.ident.to_string());
            flatten(&inner.tree, path, found);
            path.pop();
            return;
        }
        UseTree::Group(group) => {
            for tree in &group.items {
                flatten(tree, path, found);
            }
            return;
        }
        UseTree::Name(name) => (Some(&name.ident), Some(&name.ident), name.ident.span()),
        UseTree::Rename(name) => (Some(&name.ident), Some(&name.rename), name.ident.span()),
        UseTree::Glob(glob) => (None, None, glob.star_token.spans[0]),
    };
    let mut whole = path.clone();
    whole.extend(last.filter(|last| *last != "self").map(ToString::to_string));
    let name = match name {
        Some(name) if name == "self" => whole.last().cloned(),
        name => name.map(ToString::to_string),
    };
    found.push(Used {
        path: whole,
        line: span.start().line,
        name,
    });
}

/// Names of items among the words given to a macro that makes items.
fn made_by_macro(tokens: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut before = String::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                let word = ident.to_string();
                if ["struct", "enum", "fn", "type", "trait", "const", "static"]
                    .contains(&before.as_str())
                {
                    names.push(word.clone());
                }
                before = word;
            }
            TokenTree::Group(group) => {
                names.extend(made_by_macro(group.stream()));
                before.clear();
            }
            _ => before.clear(),
        }
    }
    names
}

/// `#[cfg(test)]`, and whatever else is built only for tests.
fn is_of_tests(attribute: &Attribute) -> bool {
    let Meta::List(list) = &attribute.meta else {
        return false;
    };
    let condition = list.tokens.to_string();
    list.path.is_ident("cfg")
        && condition
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .any(|word| word == "test")
        && !condition.starts_with("not")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
