//! Circles of imports: files of which each names something of the next, and the last something of the first.

use super::source::{Kind, Sources, module_of};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;

/// What one file names of another, each with its lines.
type Lines = BTreeMap<String, BTreeSet<usize>>;
/// What each file names of which others.
type Graph = BTreeMap<String, BTreeMap<String, Lines>>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Circle(Vec<(String, String, Lines)>);

impl Circle {
    /// Its files, the alphabetically first of them first.
    pub fn files(&self) -> Vec<&str> {
        self.0.iter().map(|(file, ..)| file.as_str()).collect()
    }
}

impl fmt::Display for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a circle: {}", self.files().join(" -> "))?;
        for (file, next, lines) in &self.0 {
            let names = lines.iter().map(|(name, lines)| {
                let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
                format!("{name} ({})", lines.join(", "))
            });
            write!(f, "\n  {file} uses from {next}: {}", names.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// For each line that is part of a circle, the shortest one it is part of.
pub fn circles(sources: &Sources) -> BTreeSet<Circle> {
    let graph = graph(sources);
    let mut circles = BTreeSet::new();
    for (file, uses) in &graph {
        for next in uses.keys() {
            if let Some(mut files) = shortest(&graph, next, file) {
                let first = files.iter().enumerate().min_by_key(|(_, file)| *file).map_or(0, |(at, _)| at);
                files.rotate_left(first);
                let nexts = files.iter().cycle().skip(1);
                let steps = files.iter().zip(nexts).map(|(a, b)| (a.clone(), b.clone(), graph[a][b].clone()));
                circles.insert(Circle(steps.collect()));
            }
        }
    }
    circles
}

/// A path counts for the file that holds what it means, not for those that re-export it, and a re-export of a child is
/// no use of it. So a parent that only declares and re-exports its children is part of no circle.
fn graph(sources: &Sources) -> Graph {
    let mut graph = Graph::new();
    for mention in &sources.mentions {
        for end in sources.route(mention).ends {
            // A module alone says nothing yet: what is named of it does.
            let is_module = sources.modules.contains_key(&end) && mention.kind != Kind::Glob;
            let re_exports_child = mention.kind == Kind::ReExport && end.starts_with(&module_of(&mention.file));
            let Some(file) = sources.file_of(&end) else { continue };
            if file != mention.file && !is_module && !re_exports_child {
                let lines = graph.entry(mention.file.clone()).or_default().entry(file.to_owned()).or_default();
                lines.entry(end[module_of(file).len()..].join("::")).or_default().insert(mention.line);
            }
        }
    }
    graph
}

/// The files of a shortest way.
fn shortest(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut ways = VecDeque::from([vec![from.to_owned()]]);
    let mut seen = BTreeSet::from([from.to_owned()]);
    while let Some(way) = ways.pop_front() {
        let last = way.last()?;
        if last == to {
            return Some(way);
        }
        for next in graph.get(last).into_iter().flat_map(BTreeMap::keys) {
            if seen.insert(next.clone()) {
                ways.push_back([way.as_slice(), std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}
