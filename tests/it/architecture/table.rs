//! The table "What a layer may use" of `docs/ARCHITECTURE.md`, which is the only one.

const DOCUMENT: &str = include_str!("../../../docs/ARCHITECTURE.md");

/// Layers with what each may use, in the order of the rows.
pub struct Table(Vec<(String, Vec<String>)>);

impl Table {
    pub fn read() -> Self {
        Self::parse(DOCUMENT)
    }

    /// A cell is a list of names in backticks. `no other layer` and `every layer above` can stand for one.
    pub fn parse(document: &str) -> Self {
        let section = document.split("### What a layer may use").nth(1).expect("the section is in the document");
        let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
        let mut layers: Vec<(String, Vec<String>)> = Vec::new();
        for row in rows.take_while(|line| line.starts_with('|')) {
            let [left, right] = row.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                panic!("a row has two cells: {row}");
            };
            let may_use = match right {
                "no other layer" => Vec::new(),
                "every layer above" => layers.iter().map(|(layer, _)| layer.clone()).collect(),
                names => list(names),
            };
            for name in &may_use {
                assert!(layers.iter().any(|(layer, _)| layer == name), "a row uses only layers above it: {row}");
            }
            layers.extend(list(left).into_iter().map(|layer| (layer, may_use.clone())));
        }
        for (at, (layer, _)) in layers.iter().enumerate() {
            assert!(layers[..at].iter().all(|(other, _)| other != layer), "`{layer}` has two rows");
        }
        Self(layers)
    }

    pub fn layers(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(layer, _)| layer.as_str())
    }

    /// The layer that a path of this crate belongs to: of `db` and `db::schema`, the longer.
    pub fn layer_of(&self, path: &str) -> Option<&str> {
        let below = path.strip_prefix("crate::")?;
        self.layers().filter(|layer| is_under(below, layer)).max_by_key(|layer| layer.len())
    }

    pub fn allows(&self, user: &str, used: &str) -> bool {
        user == used || self.0.iter().any(|(layer, uses)| layer == user && uses.iter().any(|name| name == used))
    }
}

fn list(cell: &str) -> Vec<String> {
    let names = cell.split(", ").map(|name| name.strip_prefix('`').and_then(|name| name.strip_suffix('`')));
    let names: Option<Vec<String>> = names.map(|name| name.map(str::to_owned)).collect();
    names.unwrap_or_else(|| panic!("not a list of names in backticks: {cell}"))
}

/// Whether a path is `root` or goes on from it.
pub fn is_under(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}
