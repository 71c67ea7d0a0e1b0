//! Which file of a crate uses which other, and why.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Expr, ImplItem, Item, Type};

use super::modules::{Crate, Target, is_reexport, uses};

/// One place where a file uses another: the line and what it names there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) line: usize,
    pub(super) name: String,
}

/// From which file to which, with the first reason.
pub(super) type Uses = BTreeMap<(usize, usize), Reason>;

/// A type: the file that defines it, and its name.
type TypeKey = (usize, String);

/// A type whose methods stand in a file that may not have them.
#[derive(Debug)]
pub(super) struct Misplaced {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) home: usize,
}

/// What the files of a crate use of each other.
pub(super) fn find(read: &Crate) -> (Uses, Vec<Misplaced>) {
    let methods = Methods::find(read);
    let mut found = Uses::new();
    for (module, here) in read.modules.iter().enumerate() {
        let mut visitor = Visitor {
            read,
            methods: &methods,
            module,
            file: here.file,
            of: None,
            local: HashMap::new(),
            found: &mut found,
        };
        for item in &here.items {
            visitor.visit_item(item);
        }
    }
    (found, methods.misplaced)
}

/// Whether the file `below` is a module under the file `home`, which is not the root of the crate.
fn is_below(read: &Crate, home: usize, below: usize) -> bool {
    let (home, below) = (&read.files[home].place, &read.files[below].place);
    !home.is_empty() && below.len() > home.len() && below.starts_with(home)
}

/// Where the methods of types stand.
#[derive(Debug, Default)]
struct Methods {
    /// File of each method of a type.
    of: HashMap<TypeKey, HashMap<String, BTreeSet<usize>>>,
    /// Files that implement part of a type of a file above them.
    parts: BTreeSet<(usize, TypeKey)>,
    misplaced: Vec<Misplaced>,
}

impl Methods {
    fn find(read: &Crate) -> Self {
        let mut methods = Self::default();
        for (module, here) in read.modules.iter().enumerate() {
            for item in &here.items {
                let Item::Impl(item) = item else { continue };
                let Some(key) = type_of(read, module, &item.self_ty) else {
                    continue;
                };
                if key.0 != here.file {
                    if is_below(read, key.0, here.file) {
                        methods.parts.insert((here.file, key.clone()));
                    } else if item.trait_.is_none() {
                        methods.misplaced.push(Misplaced {
                            file: here.file,
                            line: item.impl_token.span.start().line,
                            name: key.1.clone(),
                            home: key.0,
                        });
                    }
                }
                if item.trait_.is_some() {
                    continue;
                }
                let of = methods.of.entry(key).or_default();
                for member in &item.items {
                    let name = match member {
                        ImplItem::Fn(item) => &item.sig.ident,
                        ImplItem::Const(item) => &item.ident,
                        _ => continue,
                    };
                    of.entry(name.to_string()).or_default().insert(here.file);
                }
            }
        }
        methods
    }

    fn files(&self, key: &TypeKey, method: &str) -> impl Iterator<Item = usize> {
        let of = self.of.get(key).and_then(|methods| methods.get(method));
        of.into_iter().flatten().copied()
    }
}

fn type_of(read: &Crate, module: usize, of: &Type) -> Option<TypeKey> {
    let Type::Path(path) = of else { return None };
    let Target { file, name, .. } = read
        .resolve(module, &words(&path.path))
        .into_iter()
        .next()?;
    Some((file, name))
}

fn words(path: &syn::Path) -> Vec<String> {
    let words = path.segments.iter();
    words.map(|segment| segment.ident.to_string()).collect()
}

struct Visitor<'a> {
    read: &'a Crate,
    methods: &'a Methods,
    module: usize,
    file: usize,
    /// The type whose methods are looked at.
    of: Option<TypeKey>,
    /// Names that a `use` in a function brings.
    local: HashMap<String, Vec<String>>,
    found: &'a mut Uses,
}

impl Visitor<'_> {
    fn add(&mut self, to: usize, line: usize, name: &str) {
        if to != self.file {
            self.found.entry((self.file, to)).or_insert_with(|| Reason {
                line,
                name: name.to_owned(),
            });
        }
    }

    fn path(&mut self, path: &[String], line: usize) {
        if let [own, method, ..] = path
            && own == "Self"
        {
            return self.method(method, line);
        }
        let mut targets = self.read.resolve(self.module, path);
        if let Some((first, rest)) = path.split_first()
            && let Some(whole) = self.local.get(first)
        {
            targets = self.read.resolve(self.module, &[whole, rest].concat());
        }
        for target in targets {
            let key = (target.file, target.name.clone());
            if let Some(member) = &target.member {
                for file in self.methods.files(&key, member) {
                    self.add(file, line, &format!("{}::{member}", target.name));
                }
            }
            // A file that implements a part of a type names it, that is no use of the file above.
            if !self.methods.parts.contains(&(self.file, key)) {
                self.add(target.file, line, &target.name);
            }
        }
    }

    fn method(&mut self, method: &str, line: usize) {
        let Some(key) = self.of.clone() else { return };
        for file in self.methods.files(&key, method) {
            self.add(file, line, &format!("{}::{method}", key.1));
        }
    }

    /// Paths and calls of own methods among the words given to a macro.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let is = |at: usize, sign: char| matches!(tokens.get(at), Some(TokenTree::Punct(punct)) if punct.as_char() == sign);
        let word = |at: usize| match tokens.get(at) {
            Some(TokenTree::Ident(ident)) => Some(ident.to_string()),
            _ => None,
        };
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            let line = token.span().start().line;
            if let TokenTree::Group(group) = token {
                self.tokens(group.stream());
            }
            let Some(first) = word(at) else {
                at += 1;
                continue;
            };
            // A field or method of a value is no path.
            let is_member = at > 0 && is(at - 1, '.') && !(at > 1 && is(at - 2, '.'));
            let mut path = vec![first];
            while is(at + 1, ':') && is(at + 2, ':') {
                let Some(next) = word(at + 3) else { break };
                path.push(next);
                at += 3;
            }
            if path == ["self"] && is(at + 1, '.') {
                if let Some(method) = word(at + 2) {
                    self.method(&method, line);
                }
            } else if !is_member && path != ["self"] {
                self.path(&path, line);
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        if is_reexport(item) {
            return;
        }
        for used in uses(item) {
            self.path(&used.path, used.line);
            self.local.extend(used.name.map(|name| (name, used.path)));
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.of = type_of(self.read, self.module, &item.self_ty);
        visit::visit_item_impl(self, item);
        self.of = None;
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words = words(path);
        if let Some(first) = path.segments.first().filter(|first| first.ident != "self")
            && path.leading_colon.is_none()
        {
            self.path(&words, first.ident.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if let Expr::Path(receiver) = call.receiver.as_ref()
            && receiver.path.is_ident("self")
        {
            self.method(&call.method.to_string(), call.method.span().start().line);
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if let Some(name) = call.path.get_ident()
            && let Some(file) = self.read.macro_file(&name.to_string())
        {
            self.add(file, name.span().start().line, &name.to_string());
        } else {
            visit::visit_path(self, &call.path);
        }
        self.tokens(call.tokens.clone());
    }
}
