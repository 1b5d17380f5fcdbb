//! What a source text says, token by token: its modules, what they define and import, and every path in it.
//!
//! Macros are read like other code. What stands under `#[cfg(test)]` is left out; what follows it is not.

use proc_macro2::{Delimiter, Group, Literal, Spacing, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};

/// A path split at `::`: of a module (`crate`, `db`, `schema`), or as it is written.
/// A written path with a leading `::` begins with an empty word.
pub type Path = Vec<String>;

/// Modules and paths of a set of source files.
#[derive(Default)]
pub struct Sources {
    pub modules: BTreeMap<Path, Module>,
    pub mentions: Vec<Mention>,
}

#[derive(Default)]
pub struct Module {
    /// The file's path below `src`; empty for a module that is only declared.
    pub file: String,
    pub defines: BTreeSet<String>,
    pub imports: Vec<Import>,
}

/// One leaf of a `use`, or an `extern crate`.
#[derive(Clone)]
pub struct Import {
    /// The name it has from here on; `*` for all names.
    pub name: String,
    pub path: Path,
    pub public: bool,
}

/// A path that stands somewhere in a file.
pub struct Mention {
    pub file: String,
    pub line: usize,
    /// The module it stands in.
    pub module: Path,
    pub path: Path,
    pub kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Import,
    /// An import that other modules can name.
    ReExport,
    /// An import of all names.
    Glob,
    /// A path in code.
    Code,
    /// The name of a field, or of a method that is called without arguments.
    Field,
}

/// Where tokens stand.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// Directly in a module: a definition here is one of the module's names.
    Module,
    Body,
    Attribute,
}

impl Sources {
    /// Reads files, given by their paths below `src` and their texts.
    pub fn read<P: AsRef<str>, T: AsRef<str>>(files: impl IntoIterator<Item = (P, T)>) -> Self {
        let mut sources = Self::default();
        for (file, text) in files {
            let (file, text) = (file.as_ref(), text.as_ref());
            let module = module_of(file);
            sources.module(&module).file = file.to_owned();
            let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file} is no Rust: {error}"));
            Reader { sources: &mut sources, file }.tokens(&module, tokens, Place::Module);
        }
        sources
    }

    /// The module of this path, which exists from now on, as do those around it.
    fn module(&mut self, path: &[String]) -> &mut Module {
        for end in 1..path.len() {
            self.modules.entry(path[..end].to_vec()).or_default();
        }
        self.modules.entry(path.to_vec()).or_default()
    }
}

/// `crate::a::b` for `a/b.rs` and for `a/b/mod.rs`.
pub fn module_of(file: &str) -> Path {
    let file = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let below = if file == "lib" { "" } else { file };
    ["crate"].into_iter().chain(below.split('/')).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

struct Reader<'a> {
    sources: &'a mut Sources,
    file: &'a str,
}

/// Each of them names what follows it.
const DEFINERS: &[&str] = &["const", "enum", "fn", "static", "struct", "trait", "type", "union"];

impl Reader<'_> {
    fn tokens(&mut self, module: &Path, tokens: TokenStream, place: Place) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            at += self.item(module, &tokens[at..], place);
        }
    }

    /// Reads what `tokens` begin with and returns how many of them that was.
    fn item(&mut self, module: &Path, tokens: &[TokenTree], place: Place) -> usize {
        let public = visibility(tokens);
        let item = &tokens[public..];
        let words: Vec<String> = item.iter().take(3).map(|token| word(token).unwrap_or_default()).collect();
        let [first, second, third] = [0, 1, 2].map(|at| words.get(at).map_or("", String::as_str));
        match first {
            "use" if !item.get(1).is_some_and(|token| is(token, '<')) => {
                let end = item.iter().position(|token| is(token, ';')).unwrap_or(item.len());
                self.import(module, &item[1..end], &[], public > 0);
                public + end
            }
            "extern" if second == "crate" => {
                let end = item.iter().position(|token| is(token, ';')).unwrap_or(item.len());
                self.import(module, &item[2..end], &[String::new()], public > 0);
                public + end
            }
            "mod" if place == Place::Module => {
                let child = [module.as_slice(), &[second.to_owned()]].concat();
                self.sources.module(&child);
                if let Some(TokenTree::Group(body)) = item.get(2) {
                    self.sources.module(&child).file = self.file.to_owned();
                    self.tokens(&child, body.stream(), Place::Module);
                }
                public + 3
            }
            "macro_rules" if place == Place::Module => {
                self.sources.module(module).defines.insert(third.to_owned());
                public + 3
            }
            // As in `const fn`, where the second word names nothing.
            _ if place == Place::Module && DEFINERS.contains(&first) && !["fn", "async", ""].contains(&second) => {
                self.sources.module(module).defines.insert(second.to_owned());
                public + 2
            }
            _ if public > 0 => public,
            _ => self.code(module, tokens, place),
        }
    }

    fn code(&mut self, module: &Path, tokens: &[TokenTree], place: Place) -> usize {
        match tokens {
            [hash, TokenTree::Group(attribute), ..] if is(hash, '#') => self.attribute(module, attribute, &tokens[2..]),
            [TokenTree::Group(group), ..] => {
                let inner = if place == Place::Attribute { place } else { Place::Body };
                self.tokens(module, group.stream(), inner);
                1
            }
            [TokenTree::Literal(literal), ..] => {
                if place == Place::Attribute {
                    self.quoted(module, literal);
                }
                1
            }
            // The name of a lifetime, and what a macro is given.
            [mark, TokenTree::Ident(name), ..] if is(mark, '\'') || is(mark, '$') && name != "crate" => 2,
            // A range.
            [dot, second, ..] if is(dot, '.') && is(second, '.') => 2,
            [dot, TokenTree::Ident(_), TokenTree::Group(arguments), ..]
                if is(dot, '.')
                    && arguments.delimiter() == Delimiter::Parenthesis
                    && !arguments.stream().is_empty() =>
            {
                2
            }
            [dot, name @ TokenTree::Ident(_), ..] if is(dot, '.') => {
                self.mention(module, name, word(name).into_iter().collect(), Kind::Field);
                2
            }
            _ => self.path(module, tokens),
        }
    }

    fn attribute(&mut self, module: &Path, attribute: &Group, after: &[TokenTree]) -> usize {
        if attribute.stream().to_string().replace(' ', "") == "cfg(test)" {
            let brace = |token: &TokenTree| matches!(token, TokenTree::Group(g) if g.delimiter() == Delimiter::Brace);
            let end = after.iter().position(|token| is(token, ';') || is(token, ',') || brace(token));
            return 2 + end.map_or(after.len(), |end| end + 1);
        }
        let is_doc = attribute.stream().into_iter().next().and_then(|token| word(&token)).is_some_and(|it| it == "doc");
        if !is_doc {
            self.tokens(module, attribute.stream(), Place::Attribute);
        }
        2
    }

    /// A path in quotes, as in `#[serde(with = "crate::a::b")]`.
    fn quoted(&mut self, module: &Path, literal: &Literal) {
        let text = literal.to_string();
        let path = text.trim_matches('"');
        if path.contains("::") && path.chars().all(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            let path = path.split("::").map(str::to_owned).collect();
            self.mention(module, &TokenTree::Literal(literal.clone()), path, Kind::Code);
        }
    }

    fn path(&mut self, module: &Path, tokens: &[TokenTree]) -> usize {
        let mut path = Path::new();
        let mut at = 0;
        if are_colons(tokens) {
            path.push(String::new());
            at = 2;
        }
        while let Some(name) = tokens.get(at).and_then(word) {
            path.push(name);
            at += 1;
            if !(are_colons(&tokens[at..]) && tokens.get(at + 2).and_then(word).is_some()) {
                break;
            }
            at += 2;
        }
        if path.iter().any(|name| !name.is_empty()) {
            self.mention(module, &tokens[0], path, Kind::Code);
        }
        at.max(1)
    }

    /// One tree of a `use`, as `crate::{a, b::{c, d as e}}`, below `prefix`.
    fn import(&mut self, module: &Path, tree: &[TokenTree], prefix: &[String], public: bool) {
        for branch in tree.split(|token| is(token, ',')) {
            let mut path = prefix.to_vec();
            let mut name = None;
            let mut renames = false;
            let mut leaf = None;
            for token in branch {
                match (token, word(token)) {
                    (TokenTree::Group(group), _) => {
                        let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                        self.import(module, &inner, &path, public);
                        leaf = None;
                        break;
                    }
                    (_, Some(word)) => {
                        leaf = leaf.or(Some(token));
                        if renames {
                            name = Some(word);
                        } else if word == "as" {
                            renames = true;
                        } else if word != "self" || path.is_empty() {
                            path.push(word);
                        }
                    }
                    _ if is(token, '*') => {
                        leaf = leaf.or(Some(token));
                        name = Some("*".to_owned());
                    }
                    _ if path.is_empty() => path.push(String::new()),
                    _ => {}
                }
            }
            let (Some(leaf), Some(name)) = (leaf, name.or_else(|| path.last().cloned())) else { continue };
            let kind = match name.as_str() {
                "*" => Kind::Glob,
                _ if public => Kind::ReExport,
                _ => Kind::Import,
            };
            self.mention(module, leaf, path.clone(), kind);
            self.sources.module(module).imports.push(Import { name, path, public });
        }
    }

    fn mention(&mut self, module: &Path, at: &TokenTree, path: Path, kind: Kind) {
        let (file, line) = (self.file.to_owned(), at.span().start().line);
        self.sources.mentions.push(Mention { file, line, module: module.clone(), path, kind });
    }
}

fn word(token: &TokenTree) -> Option<String> {
    match token {
        TokenTree::Ident(name) => Some(name.to_string().trim_start_matches("r#").to_owned()),
        _ => None,
    }
}

fn is(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == mark)
}

fn are_colons(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [TokenTree::Punct(first), second, ..]
        if first.as_char() == ':' && first.spacing() == Spacing::Joint && is(second, ':'))
}

/// How many tokens are `pub`, or `pub(crate)` and the like.
fn visibility(tokens: &[TokenTree]) -> usize {
    let restricts = |group: &Group| {
        let within = group.stream().to_string();
        ["crate", "super", "self"].contains(&within.as_str()) || within.starts_with("in ")
    };
    match tokens {
        [public, TokenTree::Group(group), ..] if word(public).as_deref() == Some("pub") && restricts(group) => 2,
        [public, ..] if word(public).as_deref() == Some("pub") => 1,
        _ => 0,
    }
}
