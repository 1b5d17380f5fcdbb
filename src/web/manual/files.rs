//! The files of `docs/`, embedded in the program.

use include_dir::{Dir, File, include_dir};

pub(super) static DOCS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/docs");

fn walk<'a>(dir: &'a Dir<'a>, found: &mut Vec<&'a File<'a>>) {
    found.extend(dir.files());
    for below in dir.dirs() {
        walk(below, found);
    }
}

/// Every file, with its path.
pub(super) fn files() -> Vec<(&'static str, &'static File<'static>)> {
    let mut found = Vec::new();
    walk(&DOCS, &mut found);
    found.into_iter().filter_map(|file| Some((file.path().to_str()?, file))).collect()
}

/// The pictures of the manual, which are served with the assets: the asset name, and the bytes.
pub fn pictures() -> impl Iterator<Item = (String, &'static [u8])> {
    let is_picture = |path: &str| [".png", ".webp", ".svg"].iter().any(|kind| path.ends_with(kind));
    files().into_iter().filter(move |(path, _)| is_picture(path)).map(|(path, file)| (asset(path), file.contents()))
}

/// The asset name of a picture.
pub(super) fn asset(path: &str) -> String {
    format!("manual-{}", path.replace('/', "-"))
}
