//! Where a path leads: through aliases, imports and re-exports to what it means.

use super::source::{Import, Kind, Mention, Path, Sources};
use std::collections::BTreeSet;

/// What one path names.
#[derive(Default)]
pub struct Route {
    /// What it means in the end. A path of this crate begins with `crate`, any other with the name of its crate.
    pub ends: BTreeSet<Path>,
    /// The names of this crate that stand for something else and that it goes through.
    pub through: BTreeSet<Path>,
    /// The module that the path is written in.
    from: Path,
    visited: BTreeSet<(Path, Path)>,
}

impl Sources {
    pub fn route(&self, mention: &Mention) -> Route {
        let mut route = Route { from: mention.module.clone(), ..Route::default() };
        if mention.kind != Kind::Field {
            self.enter(&mention.module, &mention.path, mention.kind != Kind::Code, &mut route);
        }
        route
    }

    /// The file that holds what `end` means.
    pub fn file_of(&self, end: &[String]) -> Option<&str> {
        let module = (1..=end.len()).rev().find_map(|length| self.modules.get(&end[..length]))?;
        Some(module.file.as_str()).filter(|file| !file.is_empty())
    }

    /// Follows a path that is written in `module`. One word that is not known there is a word and no path,
    /// except in an import, where it is a crate.
    fn enter(&self, module: &[String], path: &[String], import: bool, route: &mut Route) {
        let Some((first, rest)) = path.split_first() else { return };
        match first.as_str() {
            "" => drop(route.ends.insert(rest.to_vec())),
            "crate" => self.walk_to_end(&module[..1], rest, route),
            "self" => self.walk_to_end(module, rest, route),
            "super" => {
                let above = rest.iter().take_while(|name| *name == "super").count();
                let outer = module.len().saturating_sub(above + 1).max(1);
                self.walk_to_end(&module[..outer], &rest[above..], route);
            }
            _ if self.walk(module, path, route) => {}
            _ if path.len() > 1 || import => drop(route.ends.insert(path.to_vec())),
            _ => {}
        }
    }

    /// As [`Self::walk`]; what is not found (a macro may have made it) is the end itself.
    fn walk_to_end(&self, module: &[String], path: &[String], route: &mut Route) {
        if !self.walk(module, path, route) {
            route.ends.insert([module, path].concat());
        }
    }

    /// Follows a path that begins with a name of `module`. Whether it has one of this name.
    fn walk(&self, module: &[String], path: &[String], route: &mut Route) -> bool {
        let full = [module, path].concat();
        let Some((first, rest)) = path.split_first() else {
            route.ends.insert(full);
            return true;
        };
        if !route.visited.insert((module.to_vec(), path.to_vec())) {
            return false;
        }
        let Some(scope) = self.modules.get(module) else { return false };
        let mut found = false;
        if scope.defines.contains(first) {
            route.ends.insert(full.clone());
            found = true;
        }
        let child = [module, std::slice::from_ref(first)].concat();
        if self.modules.contains_key(&child) {
            self.walk_to_end(&child, rest, route);
            found = true;
        }
        let is_seen = |import: &&Import| import.public || route.from.starts_with(module);
        let imports: Vec<&Import> = scope.imports.iter().filter(is_seen).collect();
        for import in imports.iter().filter(|import| import.name == *first) {
            let target = [import.path.as_slice(), rest].concat();
            // It begins with its own name: `use files::files` below `mod files`, or `use uuid::uuid` of a crate.
            if import.path.first() != Some(first) {
                self.enter(module, &target, true, route);
            } else if self.modules.contains_key(&child) {
                self.walk_to_end(&child, &target[1..], route);
            } else {
                route.ends.insert(target);
            }
            route.through.insert(full.clone());
            found = true;
        }
        found || self.walk_globs(module, &imports, path, route)
    }

    fn walk_globs(&self, module: &[String], imports: &[&Import], path: &[String], route: &mut Route) -> bool {
        let mut found = false;
        for import in imports.iter().filter(|import| import.name == "*") {
            let (from, visited) = (route.from.clone(), route.visited.clone());
            let mut whole = Route { from, visited, ..Route::default() };
            self.enter(module, &import.path, true, &mut whole);
            for end in whole.ends {
                if self.modules.contains_key(&end) {
                    found |= self.walk(&end, path, route);
                } else if import.public && end.first().is_some_and(|name| name != "crate") {
                    // Another crate's names are not known here: any that is not found may be one of them.
                    route.ends.insert([end.as_slice(), path].concat());
                    found = true;
                }
            }
        }
        if found {
            route.through.insert([module, path].concat());
        }
        found
    }
}
