//! The notice that the page after a change shows once. A cookie carries it there.

use crate::domain::address;
use crate::domain::ids::TrashId;
use crate::domain::names::OwnerName;
use crate::domain::trash::TrashKind;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The most characters of a text that are shown.
const LONGEST: usize = 200;
/// The second line of the cookie of a change that failed.
const FAILED: &str = "failed";

/// A notice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    pub text: String,
    /// Whether the change failed.
    pub is_bad: bool,
    /// What can be restored.
    pub undo: Option<Undo>,
}

/// Something in the trash that a button in the notice restores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// What it is, for the button.
    pub noun: &'static str,
    owner: OwnerName,
    entry: TrashId,
}

/// What an entry of the trash is called.
pub(super) fn noun(kind: TrashKind) -> &'static str {
    match kind {
        TrashKind::File => "file",
        TrashKind::Version => "version",
        TrashKind::Package => "package",
    }
}

impl Undo {
    /// Offers to restore an entry of the trash.
    pub fn of(kind: TrashKind, owner: &OwnerName, entry: TrashId) -> Self {
        Self { noun: noun(kind), owner: owner.clone(), entry }
    }

    /// The address of the form that restores it.
    pub fn url(&self) -> String {
        address::trash_restoration(&self.owner, self.entry)
    }

    /// Parses what [`Notice::to_cookie`] wrote.
    fn parse(line: &str) -> Option<Self> {
        let [word, owner, entry] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
        let kinds = [TrashKind::File, TrashKind::Version, TrashKind::Package];
        let noun = kinds.into_iter().map(noun).find(|noun| *noun == word)?;
        Some(Self { noun, owner: owner.parse().ok()?, entry: TrashId(entry.parse().ok()?) })
    }
}

impl Notice {
    /// A change that worked.
    pub fn good(text: &str) -> Self {
        Self { text: text.to_owned(), is_bad: false, undo: None }
    }

    /// A change that failed.
    pub fn bad(text: &str) -> Self {
        Self { is_bad: true, ..Self::good(text) }
    }

    /// A deletion that can be undone, if it can.
    pub fn deleted(text: &str, undo: Option<Undo>) -> Self {
        Self { undo, ..Self::good(text) }
    }

    /// The name of its icon.
    pub fn icon(&self) -> &'static str {
        if self.is_bad { "circle-x" } else { "circle-check" }
    }

    /// The value of its cookie.
    pub(super) fn to_cookie(&self) -> String {
        let second = match &self.undo {
            Some(Undo { noun, owner, entry }) => format!("\n{noun} {owner} {entry}"),
            None if self.is_bad => format!("\n{FAILED}"),
            None => String::new(),
        };
        utf8_percent_encode(&format!("{}{second}", self.text), NON_ALPHANUMERIC).to_string()
    }

    /// Parses the value of its cookie.
    pub(super) fn of_cookie(value: &str) -> Option<Self> {
        let whole = percent_decode_str(value).decode_utf8().ok()?;
        let (text, second) = whole.split_once('\n').unwrap_or((&whole, ""));
        let text = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
        Some(Self { text, is_bad: second == FAILED, undo: Undo::parse(second) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_survives_its_cookie() {
        let owner: OwnerName = "acme".parse().unwrap();
        let undo = Undo::of(TrashKind::Version, &owner, TrashId(7));
        assert_eq!(undo.url(), "/acme/-/trash/7/restore");
        for notice in [Notice::good("Saved: ü."), Notice::bad("Not restored."), Notice::deleted("Gone.", Some(undo))] {
            assert_eq!(Notice::of_cookie(&notice.to_cookie()), Some(notice));
        }
        for odd in ["x%0Afile%20acme", "x%0Afile%20a/b%207", "x%0Atoken%20acme%207", "x%0Afile%20acme%20x"] {
            assert_eq!(Notice::of_cookie(odd), Some(Notice::good("x")), "{odd}");
        }
    }
}
