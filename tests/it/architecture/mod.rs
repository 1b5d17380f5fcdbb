//! How the source is arranged: who may name whom, and that no files name each other in a circle.
//!
//! [`rules`] is the list of rules. [`table`] reads what each layer may use, [`source`] reads the files, [`resolve`]
//! follows their paths, [`circles`] walks from file to file.

mod circles;
mod resolve;
mod rules;
mod source;
mod table;

use circles::circles;
use rules::{RULES, violations};
use source::{Sources, module_of};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use table::Table;

/// Every file below `src`: its path there and its text.
fn files() -> Vec<(String, String)> {
    fn collect(dir: &Path, root: &Path, files: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, root, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((below, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    collect(&src, &src, &mut files);
    assert!(files.len() > 50, "the sources were found");
    files
}

/// Planted files: one a line, as `path: text`.
fn planted(lines: &str) -> Sources {
    Sources::read(lines.lines().map(|line| line.trim().split_once(": ").expect("a path and a text")))
}

fn begins_with_a_description(text: &str) -> bool {
    text.starts_with("//! ")
}

#[test]
fn the_source_keeps_every_rule() {
    let found = violations(&Table::read(), &Sources::read(files()));
    let lines: Vec<&str> = found.iter().map(|(_, line)| line.as_str()).collect();
    assert!(lines.is_empty(), "{} violations:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn every_planted_violation_is_found() {
    let table = Table::read();
    for rule in RULES {
        assert!(!rule.planted.is_empty() && !rule.harmless.is_empty(), "{}", rule.name);
        for lines in rule.planted {
            let found = violations(&table, &planted(lines));
            let last = lines.lines().last().and_then(|line| line.split_once(": ")).map_or("", |(path, _)| path);
            let is_found = found.iter().any(|(name, line)| *name == rule.name && line.starts_with(last));
            assert!(is_found, "{}: not found in\n{lines}\nbut {found:?}", rule.name);
        }
    }
}

#[test]
fn a_harmless_neighbor_breaks_no_rule() {
    let table = Table::read();
    for rule in RULES {
        for lines in rule.harmless {
            assert_eq!(violations(&table, &planted(lines)), [], "{lines}");
        }
    }
}

#[test]
fn every_file_says_first_what_it_is() {
    let silent: Vec<String> =
        files().into_iter().filter(|(_, text)| !begins_with_a_description(text)).map(|(file, _)| file).collect();
    assert_eq!(silent, Vec::<String>::new());
    assert!(begins_with_a_description("//! Health.\n\nuse std::fmt;"));
    assert!(!begins_with_a_description("use std::fmt;"));
}

#[test]
fn the_layer_table_has_every_layer_once() {
    let table = Table::read();
    let modules: BTreeSet<String> = files()
        .iter()
        .filter_map(|(file, _)| module_of(file).into_iter().nth(1))
        .filter(|name| name != "main")
        .collect();
    let layers: BTreeSet<String> =
        table.layers().map(|layer| layer.split("::").next().unwrap_or_default().to_owned()).collect();
    assert_eq!(modules, layers, "the modules of src, and the layers of docs/ARCHITECTURE.md");
}

#[test]
fn the_layer_table_is_read_as_it_stands() {
    let table = Table::parse(
        "### What a layer may use\n\n| layer | may use |\n|---|---|\n| `a`, `a::b` | no other layer |\n| `c` | `a` |\n\
         | `d` | every layer above |\n\nText.\n\n| `e` | `f` |\n|---|---|\n",
    );
    assert_eq!(table.layers().collect::<Vec<_>>(), ["a", "a::b", "c", "d"]);
    assert!(table.allows("c", "a") && !table.allows("c", "a::b") && !table.allows("a", "c"));
    assert!(table.allows("d", "a::b") && table.allows("d", "c") && !table.allows("c", "d"));
    assert_eq!(table.layer_of("crate::a::b::X"), Some("a::b"));
    assert_eq!(table.layer_of("crate::a::bc"), Some("a"));
    assert_eq!(table.layer_of("a::b"), None);
}

#[test]
#[should_panic(expected = "a row uses only layers above it")]
fn a_layer_table_with_a_circle_is_refused() {
    Table::parse("### What a layer may use\n| layer | may use |\n|---|---|\n| `a` | `b` |\n| `b` | `a` |\n");
}

#[test]
#[should_panic(expected = "not a list of names")]
fn a_layer_table_with_prose_is_refused() {
    Table::parse(
        "### What a layer may use\n| layer | may use |\n|---|---|\n| `a` | no other layer |\n| `b` | all but `a` |\n",
    );
}

#[test]
fn no_files_name_each_other_in_a_circle() {
    let found: Vec<String> = circles(&Sources::read(files())).iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{} circles:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_planted_circle_is_found() {
    for (lines, files) in [
        ("a.rs: use crate::b::B; pub struct A;\nb.rs: use crate::a::A; pub struct B;", "a.rs b.rs"),
        // Through several files, by an alias, a group, a path in code, a macro and an attribute.
        (
            "a.rs: use crate::b as other; pub fn a() { other::b() }\nb.rs: use crate::{c::{self, C}}; pub fn b() {}\n\
             c.rs: pub struct C; fn f() { println!(\"{}\", crate::d::d()) }\n\
             d.rs: #[serde(with = \"crate::a::a\")] pub fn d() {}",
            "a.rs b.rs c.rs d.rs",
        ),
        // A child that uses what its parent defines, and a parent that calls its child.
        ("a.rs: mod b; pub struct A; fn f() { b::b() }\na/b.rs: use super::A; pub fn b() {}", "a.rs a/b.rs"),
        ("a.rs: mod b; pub use b::b; pub struct A; fn f() { b() }\na/b.rs: use super::*; pub fn b() {}", "a.rs a/b.rs"),
        // Children that name each other by way of what their parent re-exports.
        (
            "a/mod.rs: mod b; mod c; pub use b::B; pub use c::C;\na/b.rs: use super::C; pub struct B;\n\
             a/c.rs: use super::B; pub struct C;",
            "a/b.rs a/c.rs",
        ),
        // After the tests of a file.
        (
            "a.rs: #[cfg(test)] mod tests {} pub fn a() { crate::b::b() }\nb.rs: pub fn b() { crate::a::a() }",
            "a.rs b.rs",
        ),
    ] {
        let found: Vec<String> = circles(&planted(lines)).iter().map(|circle| circle.files().join(" ")).collect();
        assert_eq!(found, [files], "{lines}");
    }
}

#[test]
fn a_circle_is_told_with_the_lines_that_make_it() {
    let sources = Sources::read([
        ("a.rs", "//! A.\n\nuse crate::b::B;\npub struct A;\nfn f() {\n    crate::b::g();\n}\n"),
        ("b.rs", "//! B.\n\npub struct B(super::a::A);\n"),
    ]);
    let told: Vec<String> = circles(&sources).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    a circle: a.rs -> b.rs
      a.rs uses from b.rs: B (3), g (6)
      b.rs uses from a.rs: A (3)
    ");
}

#[test]
fn what_is_no_circle_is_not_found() {
    for lines in [
        // A parent that only declares and re-exports.
        "a.rs: mod b; mod c; pub use b::B; pub use self::c::{C, D as E};\n\
         a/b.rs: use super::C; pub struct B;\na/c.rs: pub struct C; pub struct D;",
        // A parent that re-exports a child and does not use it itself, while the child builds on the parent.
        "a.rs: mod b; pub use b::B; pub struct A;\na/b.rs: use super::A; pub struct B(A);",
        // A parent that uses its child, and a child that names its sibling by way of the parent.
        "a.rs: mod b; mod c; use b::B; fn f(b: B) {}\na/b.rs: use super::c::C; pub struct B;\na/c.rs: pub struct C;",
        // Names of the tests alone.
        "a.rs: use crate::b::B; pub struct A;\nb.rs: pub struct B; #[cfg(test)] mod tests { use crate::a::A; }",
        // A comment, a text, and a field of that name.
        "a.rs: use crate::b::B; pub fn a() {}\nb.rs: pub struct B; /* crate::a::a */ const A: &str = \"crate::a::a\";",
        "a.rs: use crate::b::B; pub fn a() {}\nb.rs: use crate::c::*; pub struct B; fn f(x: X) { x.a }\n\
         c.rs: pub fn c() {}",
    ] {
        assert_eq!(circles(&planted(lines)).iter().map(ToString::to_string).collect::<Vec<_>>(), [""; 0], "{lines}");
    }
}
